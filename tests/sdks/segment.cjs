// What a shop's server does with @segment/analytics-node.
const { Analytics } = require("@segment/analytics-node")
const { URL_OF_COLLECTOR, WRITE_KEY, CUSTOMER, BACK_DATED } = process.env

async function main() {
  const analytics = new Analytics({ writeKey: WRITE_KEY, host: URL_OF_COLLECTOR, flushAt: 4 })
  analytics.on("error", (error) => { console.error(error); process.exitCode = 1 })
  const userId = CUSTOMER
  analytics.identify({ userId, anonymousId: `${userId}-visitor`, traits: { email: "ada@example.com", plan: "gold" } })
  analytics.page({ userId, name: "Shoes", properties: { url: "https://shop.example/shoes" } })
  analytics.screen({ userId, name: "Start" })
  analytics.group({ userId, groupId: 77, traits: { name: "Example Ltd" } })
  analytics.alias({ userId, previousId: `${userId}-before` })
  analytics.track({ userId, event: "Product Viewed", properties: { product_id: "p-1" } })
  analytics.track({ userId, event: "Order Completed", properties: {
    order_id: `${userId}-o1`, total: 59.9, currency: "EUR", products: [{ product_id: "p-1", quantity: 2, price: 29.95 }] } })
  analytics.track({ userId, event: "Order Refunded", timestamp: new Date(BACK_DATED), properties: {
    order_id: `${userId}-o0`, total: 10, currency: "EUR" } })
  await analytics.closeAndFlush({ timeout: 20000 })
}
main()
