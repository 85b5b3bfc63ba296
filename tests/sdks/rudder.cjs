// What a shop's server does with @rudderstack/rudder-sdk-node.
const RudderAnalytics = require("@rudderstack/rudder-sdk-node")
const { URL_OF_COLLECTOR, WRITE_KEY, CUSTOMER, BACK_DATED } = process.env

async function main() {
  const analytics = new RudderAnalytics(WRITE_KEY, { dataPlaneUrl: URL_OF_COLLECTOR, flushAt: 4, flushInterval: 100 })
  const userId = CUSTOMER
  analytics.identify({ userId, anonymousId: `${userId}-visitor`, traits: { email: "ada@example.com", plan: "gold" } })
  analytics.page({ userId, name: "Shoes", properties: { url: "https://shop.example/shoes" } })
  analytics.screen({ userId, name: "Start" })
  analytics.group({ userId, groupId: 77, traits: { name: "Example Ltd" } })
  analytics.alias({ userId, previousId: `${userId}-before` })
  analytics.track({ userId, event: "Product Viewed", properties: { product_id: "p-1" } })
  analytics.track({ userId, event: "Order Completed", properties: {
    order_id: `${userId}-o1`, total: 59.9, currency: "EUR", products: [{ product_id: "p-1", quantity: 2, price: 29.95 }] } })
  analytics.track({ userId, event: "Order Refunded", originalTimestamp: new Date(BACK_DATED), properties: {
    order_id: `${userId}-o0`, total: 10, currency: "EUR" } })
  for (let left = 0; left < 4; left++) await analytics.flush()
}
main()
