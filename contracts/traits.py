"""Traits: what is known of a person besides the events, such as a country. Declared ones have a type and a column.

Each source names traits in its own way. A declared trait has one name here and lists the names (or paths, such as
``address.city``) under which sources send it. The first of them with a value of its type counts.
"""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

TraitType = Literal["text", "number", "boolean", "date", "time"]
"""``date`` is a day, such as a birthday; ``time`` is a moment."""
TraitName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
TraitPath = Annotated[str, Field(pattern=r"^[^\x00-\x1f]{1,100}$")]


class Trait(BaseModel):
    """A declared trait. ``sent_as`` are its names or paths in events; by default its own name.

    ``personal`` says that it identifies a person.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    type: TraitType = "text"
    sent_as: tuple[TraitPath, ...] = ()
    personal: bool = False
    description: str = ""

    def paths(self, name: str) -> tuple[str, ...]:
        """Return where its value is in events."""
        return self.sent_as or (name,)


def _text(*sent_as: str, personal: bool = False) -> Trait:
    return Trait(sent_as=sent_as, personal=personal)


KNOWN: Final[dict[str, Trait]] = {
    "name": _text("name", personal=True),
    "first_name": _text("firstName", "first_name", "firstname", personal=True),
    "last_name": _text("lastName", "last_name", "lastname", personal=True),
    "username": _text("username", personal=True),
    "email": _text("email", personal=True),
    "phone": _text("phone", personal=True),
    "title": _text("title"),
    "gender": _text("gender", personal=True),
    "birthday": Trait(type="date", sent_as=("birthday", "dateOfBirth", "date_of_birth"), personal=True),
    "age": Trait(type="number", sent_as=("age",), personal=True),
    "street": _text("address.street", "street", personal=True),
    "postal_code": _text("address.postalCode", "address.postal_code", "postal_code", personal=True),
    "city": _text("address.city", "city"),
    "state": _text("address.state", "state"),
    "country": _text("address.country", "country"),
    "company": _text("company.name", "company"),
    "industry": _text("company.industry", "industry"),
    "employees": Trait(type="number", sent_as=("company.employee_count", "employees")),
    "website": _text("website"),
    "language": _text("language", "locale"),
    "timezone": _text("timezone"),
    "created_at": Trait(type="time", sent_as=("createdAt", "created_at")),
}
"""The reserved traits of Segment's ``identify``. They are declared unless a file takes one out."""
