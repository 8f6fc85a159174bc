"""The words that posts of every sample subreddit share. All of it is invented; no person, product or number exists."""

from __future__ import annotations

from collections.abc import Mapping

SHARED_WORDS: Mapping[str, tuple[str, ...]] = {
    "number": ("3", "5", "8", "12", "20", "45", "60", "200", "400", "1,500"),
    "few": ("two", "three", "four", "five"),
    "period": ("a week", "two weeks", "three months", "half a year", "a year", "four years"),
    "feeling": ("surprised", "relieved", "a bit embarrassed", "quite happy", "tired", "torn", "pleasantly confused"),
    "team": (
        "a team of three",
        "a small non-profit",
        "a regional library",
        "a bakery chain",
        "a rowing club",
        "a seed bank",
        "a bus operator",
    ),
    "when": ("last night", "this morning", "over the weekend", "on a train", "after the holidays", "during a thunderstorm"),
}

OPENINGS = (
    "Long-time reader, first post, so be gentle.",
    "Some context first: I work for {team} and do this mostly alone.",
    "I have been at this for {period} and finally have something to show.",
    "Maybe this is obvious to most of you, but it was not to me.",
    "I wrote this down {when} while it was still fresh.",
    "Short version at the bottom.",
    "I searched older threads and found only half an answer.",
    "This started as a joke between colleagues.",
)
CLOSINGS = (
    "How do you deal with this?",
    "Happy to answer questions.",
    "Tell me what I missed.",
    "What would you have done differently?",
    "I am {feeling} about how it turned out.",
    "If there is a simpler way I would love to hear it.",
    "Numbers and notes are in the first comment.",
    "Edit: thanks, the second suggestion below worked.",
    "In short: measure first, then change one thing.",
    "I will post an update in {period}.",
)

AUTHOR_FIRST = (
    "amber", "brisk", "calm", "dusty", "eager", "fuzzy", "gentle", "hollow", "idle", "jolly", "keen", "lunar",
    "mellow", "nimble", "oaken", "patient", "quiet", "rusty", "salty", "tidy", "umber", "velvet", "woolly", "young",
)  # fmt: skip
AUTHOR_SECOND = (
    "anchor", "badger", "compass", "drake", "ember", "ferry", "gull", "harbour", "inkwell", "jetty", "kettle", "lantern",
    "mallard", "notebook", "otter", "pelican", "quill", "reed", "sparrow", "teal", "urchin", "vole", "walrus", "yarrow",
)  # fmt: skip
QUESTION_TAILS = (
    "Asking for {team}.",
    "I am {feeling} about my own answer.",
    "Tried for {period} without luck.",
    "Ideas welcome.",
    "The {few} of us could not agree.",
    "Came up again {when}.",
    "Serious answers please.",
    "I ask after {period} of doubt.",
)
STATEMENT_TAILS = (
    ", {period} later",
    " (at {team})",
    ", and I am {feeling}",
    ", finished {when}",
    ", a story in {few} parts",
    " (with numbers)",
    ": notes from {team}",
    " - feedback welcome",
    ", take {few}",
    " (update after {period})",
)
LINK_HOSTS = ("notes.example", "weblog.example", "papers.example", "tinkering.example", "slow-news.example", "bench.example")
WEEKLY_THREAD = "Weekly thread: small questions, small wins"
WEEKLY_THREAD_TEXT = (
    "Ask what is too small for its own post, or tell us what went well. Be kind.\n\n*I am a bot of the sandbox; this thread is invented.*"
)
