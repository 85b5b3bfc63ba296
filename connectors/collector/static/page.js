"use strict";
// Everything that comes from events is set as text, never as markup.

const MOST_ROWS = 200;
const ASK_EVERY_MS = 1000;
const origin = window.location.origin;
const byId = (id) => document.getElementById(id);

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = String(text);
  if (className) made.className = className;
  return made;
}

// ---- the last events

let last = 0;
let start = null; // names the collector's numbering; after a restart it is another, and begins at 1
let events = [];
let chosen = null;
let paused = false;
let refused = "";

function row(event) {
  const line = element("tr");
  line.append(element("td", new Date(event.received_at).toLocaleTimeString([], { hour12: false })));
  line.append(element("td", event.source));
  const name = element("td", event.name || "(no name)");
  if (event.body) name.append(element("span", event.body, "body"));
  line.append(name, element("td", event.kind || "–"));
  const outcome = element("td");
  outcome.append(element("span", event.outcome, "mark " + (event.outcome === "refused" ? "refused" : "accepted")));
  if (event.field) outcome.append(element("span", event.field + " " + event.problem, "why"));
  line.append(outcome);
  return line;
}

function choice(label, pressed, act) {
  const button = element("button", label);
  button.type = "button";
  button.setAttribute("aria-pressed", String(pressed));
  button.addEventListener("click", act);
  return button;
}

function show() {
  const names = [...new Set(events.map((event) => event.source))].sort();
  byId("sources").replaceChildren(
    ...(names.length ? [null, ...names] : []).map((name) =>
      choice(name === null ? "all" : name, chosen === name, () => { chosen = name; show(); })));
  const rows = events.filter((event) => chosen === null || event.source === chosen).slice(-MOST_ROWS).reverse();
  byId("events").tBodies[0].replaceChildren(...rows.map(row));
  byId("events").hidden = rows.length === 0;
  byId("hint").hidden = rows.length > 0 && !refused;
  if (refused) byId("hint").textContent = refused;
}

async function ask() {
  const personal = byId("personal").checked ? 1 : 0;
  const answer = await fetch(`/feed?after=${last}&personal=${personal}`, { cache: "no-store" });
  const content = await answer.json();
  if (answer.ok && content.start !== start) {
    const restarted = start !== null;
    start = content.start;
    last = 0;
    if (restarted) return ask();
  }
  const before = refused;
  refused = answer.ok ? "" : content.message;
  if (answer.ok && content.events.length) {
    last = content.events[content.events.length - 1].number;
    events = [...events, ...content.events].slice(-1000);
    show();
  } else if (before !== refused) show();
}

function tell(up, text) {
  byId("state").className = "state " + (up ? "up" : "down");
  byId("state").lastElementChild.textContent = text;
}

async function look() {
  try {
    const ready = await (await fetch("/ready", { cache: "no-store" })).json();
    const sources = `${ready.sources} source${ready.sources === 1 ? "" : "s"}`;
    if (ready.sources_file === "broken") tell(false, "the file of sources is broken");
    else if (ready.disk === "full") tell(false, "The disk is full: answering 507");
    else tell(ready.kafka === "up", ready.kafka === "up" ? `ready, ${sources}` : "Kafka is away: answering 503");
    if (!paused) await ask();
  } catch (error) {
    tell(false, "the collector does not answer");
  }
  window.setTimeout(look, ASK_EVERY_MS);
}

byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").textContent = paused ? "Go on" : "Pause";
});
byId("personal").addEventListener("change", () => { last = 0; events = []; show(); });

// ---- the snippets

const SNIPPETS = {
  "Browser": [(key) => `<script>
  !function(){var a=window.analytics=window.analytics||[];if(a.initialize||a.invoked)return;a.invoked=!0;
  a.methods=["track","identify","page","group","alias","ready","reset","on","once","off"];
  a.factory=function(m){return function(){a.push([m].concat([].slice.call(arguments)));return a}};
  a.methods.forEach(function(m){a[m]=a.factory(m)});
  a._writeKey="${key}";a._cdn="${origin}";
  var s=document.createElement("script");s.async=!0;s.src="/js/analytics.min.js";document.head.appendChild(s);
  a.page()}();
</` + "script>", "analytics.js itself is not served here: put node_modules/@segment/analytics-next/dist/umd/ of the npm package under /js on your own site, with standalone.js as analytics.min.js. docs/sources/tracking-api.md says how."],
  "Python": [(key) => `# pip install segment-analytics-python
import segment.analytics as analytics

analytics.host = "${origin}"
analytics.write_key = "${key}"

analytics.identify("c-42", {"name": "Ada"})
analytics.track("c-42", "Product Viewed", {"product_id": "p-7"})
analytics.flush()`, "RudderStack's: from rudderstack import analytics; set analytics.dataPlaneUrl instead of host."],
  "Node": [(key) => `// npm install @segment/analytics-node
import { Analytics } from "@segment/analytics-node"

const analytics = new Analytics({ writeKey: "${key}", host: "${origin}" })

analytics.track({ userId: "c-42", event: "Product Viewed", properties: { product_id: "p-7" } })
await analytics.closeAndFlush()`, "RudderStack's: new RudderAnalytics(writeKey, { dataPlaneUrl })."],
  "curl": [(key) => `curl ${origin}/v1/track -u ${key}: -H 'Content-Type: application/json' -d '{
  "userId": "c-42", "event": "Order Completed",
  "properties": {"order_id": "o-1", "total": 59.90, "currency": "EUR"}
}'`, "The answer is {\"success\":true} when Kafka holds the event."],
};
let language = "Browser";

function showSnippet() {
  byId("tabs").replaceChildren(...Object.keys(SNIPPETS).map((name) => {
    const tab = choice(name, name === language, () => { language = name; showSnippet(); });
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-selected", String(name === language));
    tab.removeAttribute("aria-pressed");
    return tab;
  }));
  const [make, note] = SNIPPETS[language];
  byId("snippet").textContent = make(byId("key").value.trim() || "YOUR_WRITE_KEY");
  byId("note").textContent = note;
}

byId("key").addEventListener("input", showSnippet);
byId("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(byId("snippet").textContent);
  byId("copy").textContent = "Copied";
  window.setTimeout(() => { byId("copy").textContent = "Copy"; }, 1500);
});

showSnippet();
look();
