"""What a shop's server does with an analytics SDK for Python, Segment's or RudderStack's: they have the same calls."""

import os
import sys
from datetime import datetime

name = sys.argv[1]
if name == "segment":
    from segment import analytics

    analytics.host = os.environ["URL_OF_COLLECTOR"]
else:
    from rudderstack import analytics

    analytics.dataPlaneUrl = os.environ["URL_OF_COLLECTOR"]

errors = []
analytics.write_key = os.environ["WRITE_KEY"]
analytics.on_error = lambda error, _items: errors.append(error)
analytics.gzip = True
user = os.environ["CUSTOMER"]
products = [{"product_id": "p-1", "quantity": 2, "price": 29.95}]

analytics.identify(user, {"email": "ada@example.com", "plan": "gold"}, anonymous_id=f"{user}-visitor")
analytics.page(user, "shop", "Shoes", {"url": "https://shop.example/shoes"})
analytics.screen(user, "app", "Start")
analytics.group(user, 77, {"name": "Example Ltd"})
analytics.alias(f"{user}-before", user)
analytics.track(user, "Product Viewed", {"product_id": "p-1"})
analytics.track(
    user,
    "Order Completed",
    {"order_id": f"{user}-o1", "total": 59.9, "currency": "EUR", "products": products},
)
analytics.track(
    user,
    "Order Refunded",
    {"order_id": f"{user}-o0", "total": 10, "currency": "EUR"},
    timestamp=datetime.fromisoformat(os.environ["BACK_DATED"]),
)
analytics.shutdown()
sys.exit(f"the SDK failed: {errors}" if errors else 0)
