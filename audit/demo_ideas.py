"""What the three people of the demo have to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple


class Idea(NamedTuple):
    """A task that somebody may add: due after `due_in` days, and added again after `every` days, or only once."""

    title: str
    category: str | None = None
    tags: tuple[str, ...] = ()
    priority: str = "medium"
    due_in: int | None = None
    description: str | None = None
    every: int | None = None


IDEAS: Final[Mapping[str, Sequence[Idea]]] = {
    "alice": (
        Idea("Buy milk", "Errands", ("home", "food"), due_in=1, description="two litres", every=6),
        Idea("Water the plants", "Home", ("home",), every=5),
        Idea("Take out the recycling", "Home", ("home",), "low", 1, every=14),
        Idea("Pay the rent", "Money", ("home", "money"), "high", 3, every=30),
        Idea("Swimming with Mia", "Family", ("mia",), due_in=2, description="Bring the blue towel", every=7),
        Idea("Read Mia a new book", "Family", ("mia",), "low", every=9),
        Idea("Weekly report", "Work", ("work",), "high", 1, every=7),
        Idea("Call the dentist", "Health", ("health",), "high", 4),
        Idea("Renew the passport", "Papers", ("papers",), "urgent", 12, "Old one runs out in January"),
        Idea("Book trains for the holidays", "Travel", ("travel", "family"), "high", 10, "Window seats, quiet coach"),
        Idea("Fix the bicycle light", "Home", ("bicycle",), due_in=5),
        Idea("Invite people for Saturday", "Family", ("friends",), due_in=3),
        Idea("Prepare the budget talk", "Work", ("work", "money"), "high", 6, "Slides 3 to 7 need numbers"),
        Idea("Answer Ben about the flat", None, ("friends",)),
        Idea("Return the library books", "Errands", ("books",), due_in=7),
        Idea("Find winter boots for Mia", "Family", ("mia", "winter"), due_in=14),
        Idea("Descale the coffee machine", "Home", ("home",), "low"),
        Idea("Cancel the old phone contract", "Money", ("money", "papers"), "high", 9),
        Idea("Hang up the pictures in the hall", "Home", ("home",), "low"),
        Idea("Ask about the swimming course", "Family", ("mia",), due_in=8),
        Idea("Interview notes for the new colleague", "Work", ("work",), due_in=2),
        Idea("Birthday present for Chloe", "Errands", ("friends", "present"), "high", 6, "Something for the kitchen?"),
        Idea("Flu shot", "Health", ("health", "winter"), due_in=20),
        Idea("Back up the photos", "Home", ("computer",), "low"),
    ),
    "ben": (
        Idea("Laundry", "Flat", ("flat",), "low", every=6),
        Idea("Clean the kitchen", "Flat", ("flat",), due_in=1, description="My turn", every=8),
        Idea("Exercise sheet: analysis", "Studies", ("analysis",), "high", 6, every=7),
        Idea("Exercise sheet: databases", "Studies", ("databases",), "high", 5, every=7),
        Idea("Bouldering with Jo", "Sport", ("jo",), due_in=3, every=8),
        Idea("Call grandma", "Family", ("family",), every=11),
        Idea("Choose a topic for the seminar", "Studies", ("seminar",), "P1", 9, "Event sourcing, or bees"),
        Idea("Book a room for the study group", "Studies", ("seminar",), due_in=4),
        Idea("Apply for the exchange year", "Studies", ("papers",), "urgent", 25, "Transcript, letter, two copies"),
        Idea("Sell the old desk", "Flat", ("flat", "money"), "low"),
        Idea("Look at the flat in Mill Lane", "Flat", ("flat",), "high", 2, "Ask about the heating"),
        Idea("Repair the rear wheel", None, ("bicycle",), due_in=4),
        Idea("Return the projector", "Studies", ("seminar",), due_in=1),
        Idea("Concert tickets", None, ("friends",), "high", 3),
        Idea("Tax number for the job", "Job", ("papers", "money"), due_in=12),
        Idea("Swap shifts with Lea", "Job", ("job",), due_in=2),
        Idea("Write the outline", "Studies", ("seminar",), "P2", 14),
        Idea("Read chapter 7 again", "Studies", ("databases",), "P3"),
        Idea("Dentist, Tuesday at ten", "Health", ("health",), due_in=11),
        Idea("New light bulb for the bathroom", "Flat", ("flat",), "low", 3),
    ),
    "chloe": (
        Idea("Order coffee beans", "Café", ("orders",), "high", 2, "12 kg house blend, 3 kg decaf", every=7),
        Idea("Clean the espresso machine", "Café", ("café",), due_in=1, every=4),
        Idea("Shift plan for next week", "Team", ("team",), "high", 3, every=7),
        Idea("Count the till", "Café", ("money",), due_in=1, every=3),
        Idea("Pay the suppliers", "Money", ("money", "orders"), "urgent", 4, every=15),
        Idea("Post the cake of the week", "Café", ("posts",), "low", 2, every=7),
        Idea("Fix the wobbly table by the window", "Café", ("repairs",), due_in=5),
        Idea("Ask the bakery about spelt rolls", "Café", ("orders",), due_in=3),
        Idea("Renew the music licence", "Papers", ("papers",), "high", 16),
        Idea("Interview for the weekend job", "Team", ("team",), "high", 4, "Lea, Friday after closing"),
        Idea("Fire extinguisher check", "Papers", ("papers", "repairs"), "urgent", 7),
        Idea("Menu for December", "Café", ("menu", "winter"), "high", 18, "Fewer dishes, one more soup"),
        Idea("Photos for the website", "Café", ("posts",), "low"),
        Idea("Talk to the landlord about the awning", "Papers", ("repairs",), due_in=9),
        Idea("Try the new oat milk", "Café", ("orders",), "low", 2),
        Idea("Christmas party: how many?", "Team", ("team", "winter"), due_in=12),
        Idea("Replace the dishwasher hose", "Café", ("repairs",), "urgent", 1),
        Idea("Quarterly tax", "Money", ("money", "papers"), "critical", 21),
        Idea("A weekend off", None, (), "low"),
        Idea("Return the broken grinder", "Café", ("orders", "repairs"), due_in=6),
    ),
}
"""The ideas of each person; the first ones return every few days."""

NOTES: Final = (
    "Asked, no answer yet",
    "Half done",
    "See the mail from Monday",
    "Cheaper on Thursdays",
    "Take the list",
)
DETAILS: Final = ("today", "after lunch", "with Sam", "the second one", "before the weekend", "again")
TAGS: Final = ("soon", "waiting", "phone", "outside")
PRIORITIES: Final = ("low", "medium", "high", "urgent")
