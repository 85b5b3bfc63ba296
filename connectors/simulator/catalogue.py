"""What the shop sells: a few hundred products, some much more popular than others. Moves no data."""

from typing import NamedTuple

import numpy as np

_CATEGORIES = {
    "kitchen": "Pan", "garden": "Planter", "books": "Notebook", "toys": "Puzzle", "sports": "Ball", "lights": "Lamp",
    "textiles": "Towel", "tools": "Wrench",
}  # fmt: skip
"""Each category, and what is sold in it."""
_BRANDS = ("Northbay", "Halden", "Kestrel", "Ambergate", "Velora")
_TABLE_SIZE = 4_096


class Product(NamedTuple):
    """One thing on sale."""

    product_id: str
    category: str
    price: float
    name: str
    brand: str

    @property
    def sku(self) -> str:
        """The stock keeping unit."""
        return f"{self.brand[:2].upper()}-{self.product_id[2:]}"


class Catalogue:
    """Products, picked by popularity (Zipf) with one number from [0, 1)."""

    def __init__(self, rng: np.random.Generator, size: int = 300):
        prices = np.round(np.clip(rng.lognormal(3.2, 0.8, size), 2, 900), 2).tolist()
        self.products = tuple(_product(number, price) for number, price in enumerate(prices, 1))
        popularity = 1 / np.arange(1, size + 1) ** 0.8
        edges = np.cumsum(popularity / popularity.sum())
        ranks = np.searchsorted(edges, (np.arange(_TABLE_SIZE) + 0.5) / _TABLE_SIZE)
        self._table: list[int] = np.minimum(ranks, size - 1).tolist()

    def pick(self, uniform: float) -> Product:
        """Return the product for a number from [0, 1)."""
        return self.products[self._table[int(uniform * _TABLE_SIZE)]]


def _product(number: int, price: float) -> Product:
    category, thing = list(_CATEGORIES.items())[number % len(_CATEGORIES)]
    brand = _BRANDS[number % len(_BRANDS)]
    return Product(f"p-{number:04d}", category, price, f"{brand} {thing} {number}", brand)
