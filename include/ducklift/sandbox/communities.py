"""The six sample subreddits, and how each of them talks. All of it is invented.

A title or detail names its slots in braces; a slot is filled from the subreddit's own words first, then from the shared ones of
`vocabulary`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Community:
    """What one sample subreddit is like: how busy (share of all posts), how popular, how it talks."""

    name: str
    subreddit_id: str
    description: str
    subscribers: int
    share: float
    typical_score: float
    self_posts: float
    images: float
    flairs: tuple[str, ...]
    titles: tuple[str, ...]
    details: tuple[str, ...]
    words: Mapping[str, tuple[str, ...]]


DATA_WORDS: Mapping[str, tuple[str, ...]] = {
    "tool": (
        "our scheduler",
        "plain cron",
        "a message queue",
        "the warehouse",
        "object storage",
        "a single DuckDB file",
        "our ingestion job",
    ),
    "thing": (
        "late-arriving events",
        "schema changes",
        "duplicate rows",
        "time zones",
        "backfills",
        "a 40-column CSV",
        "partition pruning",
        "soft deletes",
    ),
    "source": (
        "the ticketing system",
        "a fleet of parcel lockers",
        "the weather stations",
        "the loyalty cards",
        "an old ERP",
        "a SOAP service nobody owns",
    ),
    "result": (
        "cut the bill in half",
        "made the dashboard honest",
        "stopped the 6 am pages",
        "broke nothing for once",
        "halved the run time",
    ),
}

COMMUNITIES: tuple[Community, ...] = (
    Community(
        name="dataengineering",
        subreddit_id="t5_sbx01",
        description="Pipelines, warehouses and the people who get paged for them.",
        subscribers=284_310,
        share=0.20,
        typical_score=24.0,
        self_posts=0.78,
        images=0.05,
        flairs=("Discussion", "Help", "Career", "Open Source", "Blog"),
        titles=(
            "How do you test {thing} before they reach production?",
            "We moved {source} to {tool} and it {result}",
            "Is {tool} enough for {team}, or am I fooling myself?",
            "Lessons from {period} of loading {source}",
            "{thing} ate my weekend, here is the post-mortem",
            "Do you keep raw files for ever? We delete after {period}",
            "Interview question about {thing}: fair or not?",
            "The {number}-line script that replaced {tool}",
            "What do you say when someone asks for {source} in real time?",
            "Exactly once with {tool}: what it really took",
            "My manager wants a data contract for {source}",
            "Unpopular opinion: {thing} are a people problem",
            "From {number} nightly jobs to one: how {tool} {result}",
            "Who owns {source} where you work?",
        ),
        details=(
            "The source is {source}, about {number} GB a day, and the trouble is {thing}.",
            "Every retry used to insert the same rows again until we gave each load its own id.",
            "We land the raw files first and only then touch a table, which {result}.",
            "The slow part was never the query, it was {thing}.",
            "Nobody noticed for {period} because the row counts looked plausible.",
            "| step | before | after |\n| --- | --- | --- |\n| extract | {number} min | 4 min |\n| load | {number} min | 1 min |",
        ),
        words=DATA_WORDS,
    ),
    Community(
        name="python",
        subreddit_id="t5_sbx02",
        description="News, questions and small triumphs about the language.",
        subscribers=1_391_022,
        share=0.25,
        typical_score=31.0,
        self_posts=0.62,
        images=0.06,
        flairs=("Discussion", "Showcase", "Tutorial", "Resource", "News"),
        titles=(
            "I wrote {project} in pure Python, {number} lines, no dependencies",
            "What is your favourite use of {feature}?",
            "TIL that {feature} can be combined with {feature2}",
            "{project}, a weekend project with {feature}",
            "Is {feature} worth teaching to beginners?",
            "Profiling {project}: {number}x faster by removing one line",
            "Why I stopped reaching for {feature}",
            "A gentle tour of {feature}, with pictures",
            "Packaging {project} took longer than writing it",
            "How strict is your type checking? Asking for {team}",
            "Code review: {project} with {feature}",
            "{feature2} finally clicked for me {when}",
            "A tiny benchmark of {feature} against {feature2}",
        ),
        details=(
            "It uses {feature} for the hot path and {feature2} for everything else.",
            "```python\nwith open(path) as lines:\n    total = sum(len(line) for line in lines)\n```",
            "The first version was {number} times slower because of a list where a set belonged.",
            "Tests are plain functions, one behaviour each.",
            "I know there are libraries for this; writing it was the point.",
            "Type hints caught {number} mistakes, two of them embarrassing.",
        ),
        words={
            "feature": (
                "dataclasses",
                "structural pattern matching",
                "generators",
                "context managers",
                "the walrus operator",
                "itertools",
                "asyncio task groups",
                "protocols",
            ),
            "feature2": ("functools.singledispatch", "exception groups", "slots", "descriptors", "memoryview", "contextvars", "pathlib"),
            "project": (
                "a tide-table printer",
                "a crossword solver",
                "a log viewer",
                "a choir rehearsal planner",
                "a recipe scaler",
                "a bus-stop departure board",
                "a chess clock",
                "a bird-song sorter",
            ),
        },
    ),
    Community(
        name="dataisbeautiful",
        subreddit_id="t5_sbx03",
        description="Charts that took longer than anyone will believe.",
        subscribers=21_604_117,
        share=0.15,
        typical_score=140.0,
        self_posts=0.06,
        images=0.82,
        flairs=("OC", "Interactive", "Discussion"),
        titles=(
            "[OC] {measure} in {place} over {period}",
            "[OC] I logged {measure} every day for a year",
            "[OC] {measure} by hour of the day",
            "{measure} against {measure2}, {number} observations [OC]",
            "[OC] Where {measure} went up and {measure2} went down",
            "[OC] My {measure} before and after moving to {place}",
            "{place} in one chart: {measure}",
            "[OC] A ridge plot of {measure}, by month",
            "[OC] {number} people told me about {measure2}",
        ),
        details=(
            "Data: my own notes, kept in {place} for {period}. Tool: a notebook and a lot of patience.",
            "The gap in the middle is when the sensor fell into the sink.",
            "Log scale, because {measure} is very uneven.",
        ),
        words={
            "measure": (
                "commute times",
                "cups of tea",
                "lost umbrellas",
                "library loans",
                "swimming-pool temperature",
                "sourdough rise height",
                "letters received",
                "bicycle punctures",
                "rainfall on washing days",
            ),
            "measure2": ("hours of sleep", "unread e-mails", "steps walked", "songs hummed", "pages read", "doors held open"),
            "place": ("Fernhollow", "Port Ardal", "Upper Mistley", "Kestrel Bay", "Lindqvist Square", "the Oster valley"),
        },
    ),
    Community(
        name="selfhosted",
        subreddit_id="t5_sbx04",
        description="Services at home, on hardware that should have been recycled.",
        subscribers=503_882,
        share=0.18,
        typical_score=42.0,
        self_posts=0.68,
        images=0.14,
        flairs=("Need Help", "Guide", "Release", "Media Serving", "Backup"),
        titles=(
            "My {machine} now runs {number} services and my family noticed none of them",
            "Backups of {service}: what I learned when the disk died {when}",
            "{service} behind a reverse proxy, step by step",
            "Moved {service} off the cloud after {period}",
            "How do you update {service} without fear?",
            "Show us your rack: {machine} edition",
            "{service} on {machine}: {number} W at the wall",
            "Is {machine} too old for {service}?",
            "Single sign-on for {service} took me {period}",
            "A power cut taught me to document {service}",
            "Release: a tiny dashboard for {service}",
            "What would you never host yourself? I say {service}",
        ),
        details=(
            "Hardware is {machine}, one SSD and a drive that clicks when it rains.",
            "`{service}` runs in a container with its data on a separate volume.",
            "Restores are tested every month, on a calendar reminder, with a stopwatch.",
            "The certificate expired {when}, and of course nobody was home.",
            "It idles at {number} W, which I am {feeling} about.",
        ),
        words={
            "machine": (
                "a thin client from 2014",
                "an old office PC",
                "a fanless box",
                "a second-hand laptop without a screen",
                "a single-board computer",
                "a noisy 2U server",
            ),
            "service": (
                "the photo library",
                "the recipe manager",
                "the music server",
                "the password vault",
                "the family calendar",
                "the document archive",
                "the home dashboard",
                "the mail relay",
            ),
        },
    ),
    Community(
        name="learnprogramming",
        subreddit_id="t5_sbx05",
        description="Questions welcome, the simple ones first.",
        subscribers=4_188_940,
        share=0.16,
        typical_score=12.0,
        self_posts=0.93,
        images=0.0,
        flairs=("Question", "Resource", "Solved", "Debugging", "Tutorial"),
        titles=(
            "I finally understand {concept} and want to tell someone",
            "How much {concept} do I need for a first job?",
            "Stuck on {concept} for {period}, what helped you?",
            "Switching from {job} to programming at {age}",
            "Is it normal to forget {concept} after {period}?",
            "My first project: {project}",
            "{concept} explained with {analogy}",
            "Should I learn {concept} before {concept2}?",
            "Solved: my loop skipped every other item",
            "What to build after {project}?",
            "I failed a test on {concept2}, how do I study better?",
            "A note to myself from {period} ago, about {concept}",
        ),
        details=(
            "I come from {job}, so please assume nothing.",
            "The tutorial jumps from {concept} to {concept2} and I lose the thread.",
            "I drew it on paper as {analogy} and suddenly it made sense.",
            "```\nexpected: 10\ngot: 9\n```",
            "So far I practise {number} minutes a day, mostly before work.",
        ),
        words={
            "concept": ("recursion", "pointers", "closures", "inheritance", "big O", "git rebase", "regular expressions", "async code"),
            "concept2": ("linked lists", "unit tests", "hash maps", "SQL joins", "the call stack", "interfaces"),
            "job": ("nursing", "carpentry", "teaching", "running a kitchen", "driving a tram", "accounting"),
            "age": ("24", "31", "38", "46", "57"),
            "project": (
                "a to-do list that nags",
                "a plant-watering reminder",
                "a text adventure in a lighthouse",
                "a quiz about moths",
                "a train-delay guesser",
            ),
            "analogy": ("nested lunch boxes", "a queue at the bakery", "library cards", "a stack of plates", "a treasure hunt"),
        },
    ),
    Community(
        name="duckdb",
        subreddit_id="t5_sbx06",
        description="An unofficial pond for people who query files.",
        subscribers=9_746,
        share=0.06,
        typical_score=9.0,
        self_posts=0.80,
        images=0.04,
        flairs=("Question", "Tip", "Show and tell"),
        titles=(
            "{number} GB of {format} on a laptop: a short report",
            "{feature} saved me {period} of work",
            "How do you share one database file within {team}?",
            "Reading {format} straight from a bucket, worth it?",
            "Tip: {feature} with {format}",
            "Does {feature} keep the order of rows?",
            "Replacing a nightly job with {feature}",
            "{format} or the native file for {number} million rows?",
            "Memory limit and {feature}: what I measured",
        ),
        details=(
            "```sql\nselect kind, count(*) from 'events/*.parquet' group by all order by 2 desc\n```",
            "The files are {format}, partitioned by day, about {number} MB each.",
            "{feature} took a query from minutes to seconds & kept it readable (a < b, no tricks).",
            "One process writes, the others read a copy that is swapped after each load.",
        ),
        words={
            "format": ("Parquet", "gzipped JSON lines", "CSV with odd quotes", "Arrow files", "one large JSON document"),
            "feature": ("QUALIFY", "GROUP BY ALL", "window functions", "PIVOT", "list comprehensions", "SUMMARIZE", "ASOF joins"),
        },
    ),
)
