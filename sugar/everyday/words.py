"""Small lists of words for photos: what can be asked, exchanged and refused as absent.

THINGS groups words for one thing; the first stands for all. RELATED says which things another's word may
mean, so that "is there a man?" is never answered "no" because the captions say "player". Not covered:
grammar.
"""

from __future__ import annotations


def _words(text: str) -> set[str]:
    return set(text.split())


_GROUPS = """
man men guy guys gentleman|woman women lady ladies|boy boys|girl girls
child children kid kids toddler toddlers|baby babies|person people adult adults someone
dog dogs puppy puppies|bike bikes bicycle bicycles|ball balls
water|snow|grass|beach shore|ocean sea|pool|street|road roads|sidewalk|field fields|park|playground|sand
rock rocks boulder|wall walls|fence fences|tree trees|hill hills hillside|mountain mountains
building buildings|car cars|truck trucks|bus buses|train trains|boat boats|kayak kayaks canoe
motorcycle motorcycles motorbike motorbikes|skateboard skateboards|surfboard surfboards|snowboard snowboards
ski skis|sled sleds|horse horses|bird birds|cat cats|cow cows|sheep|fish|hat hats cap caps|helmet helmets
shirt shirts t-shirt tshirt|jacket jackets coat coats|dress dresses|shorts|pants jeans|uniform uniforms
sunglasses|glasses|bench benches|table tables|chair chairs|bed beds|couch sofa|swing swings|slide slides
rope ropes|frisbee frisbees|stick sticks|toy toys|guitar guitars|camera cameras|umbrella umbrellas|flag flags
tent tents|bag bags|backpack backpacks|bridge bridges|fountain fountains|lake lakes|river rivers stream
ramp ramps|stairs steps|window windows|door doors|sign signs|crowd crowds|football footballs
basketball basketballs|baseball baseballs|racket racquet|balloon balloons|hoop hoops|leash|flower flowers
book books|bottle bottles|cup cups|phone cellphone|trampoline|wave waves|skateboarder skateboarders
surfer surfers|snowboarder snowboarders|skier skiers|cyclist bicyclist biker|player players|climber|wheelchair
trail path|forest woods|cliff cliffs|ice|mud|dirt|puddle puddles|ladder ladders|bubbles
"""
THINGS = [group.split() for line in _GROUPS.strip().split("\n") for group in line.split("|")]
THING_OF = {word: group[0] for group in THINGS for word in group}
"""The thing that a word names: "puppies" -> "dog"."""

_NO_PLURAL = _words("glasses sunglasses jeans pants shorts stairs skis bus grass dress woods bubbles")
PLURALS = {w for w in THING_OF if w.endswith("s") and w not in _NO_PLURAL}
PLURALS |= {"men", "women", "children", "people", "ladies"}

PEOPLE = _words("man woman boy girl child baby person player climber crowd cyclist")
PEOPLE |= _words("skateboarder surfer snowboarder skier")
ANIMALS = {"dog", "horse", "bird", "cat"}
SUBJECTS = PEOPLE | ANIMALS | {"cow", "car", "boat"}
UNCOUNTED = _words(
    "water snow grass sand ice mud dirt shorts pants sunglasses glasses stairs sheep bubbles ski"
)

_RELATED = """
man: person boy player|woman: person girl|boy: child person man player|girl: child person woman
child: boy girl baby person|baby: child person|person: man woman boy girl child baby crowd
player: man woman boy girl person|surfer: man person surfboard wave ocean water woman
skateboarder: man boy person skateboard|snowboarder: man person snowboard snow|skier: person man ski snow
cyclist: bike man person|climber: man person rock|ball: football basketball baseball|football: ball
basketball: ball hoop|baseball: ball|ocean: water beach wave|beach: sand ocean water|pool: water|lake: water
river: water|wave: water ocean|sand: beach dirt|street: road sidewalk|road: street trail dirt|sidewalk: street
field: grass|grass: field park|hill: mountain|mountain: hill rock cliff|cliff: rock mountain
rock: mountain cliff wall|forest: tree|tree: forest|skateboard: skateboarder ramp|surfboard: surfer
snowboard: snowboarder snow|ski: skier snow|toy: ball frisbee stick|park: playground bench grass tree
mud: dirt puddle water|dirt: mud trail road field sand|trail: road dirt|puddle: water|crowd: person
bike: cyclist motorcycle|fountain: water|boat: kayak water|kayak: boat water|ice: snow|hat: helmet|helmet: hat
glasses: sunglasses|sunglasses: glasses
"""
RELATED = {
    name: set(others.split())
    for line in _RELATED.strip().split("\n")
    for name, others in (entry.split(": ") for entry in line.split("|"))
}

COLORS = [
    "black",
    "white",
    "brown",
    "red",
    "blue",
    "yellow",
    "green",
    "orange",
    "pink",
    "purple",
    "tan",
    "gray",
]
COLOR_OF = {c: c for c in COLORS} | {"grey": "gray"}
NUMBERS = ["two", "three", "four", "five", "six"]

_ACTIONS = """
running run runs|playing play plays|standing stand stands|jumping jump jumps leaping leaps|sitting sit sits
walking walk walks|riding ride rides|climbing climb climbs|swimming swim swims|carrying carries carry
racing race races|chasing chases chase|posing pose poses|swinging|flying flies|eating eats eat
dancing dance dances|sliding slides|splashing|skateboarding|drinking drinks|catching catches catch|skiing skis
laughing laughs|fishing fishes|throwing throws throw|surfing surfs|reading reads read|hiking hikes hike
skating skates|kicking kicks kick|driving drives|hugging hugs hug|diving dives|smoking smokes|sleeping sleeps
snowboarding snowboards|wrestling wrestles|kissing kisses|chewing chews|digging digs|singing sings
rolling rolls|fighting fight fights|performing performs|smiling smiles|lying lies laying lays
paddling paddles|talking talks talk|looking looks look|holding holds hold
"""
ACTION_OF = {
    word: group.split()[0]
    for line in _ACTIONS.strip().split("\n")
    for group in line.split("|")
    for word in group.split()
}

_PLACES = """
in the: water snow grass ocean sand city|at the: beach|on the: street dirt stairs ice
in a: pool field park lake river kitchen restaurant yard fountain boat gym stadium
on a: road sidewalk playground rock mountain hill track bench bed couch|on a: ramp swing slide cliff
on a: stage trail trampoline
"""
PLACE_OF = {
    noun: f"{preposition} {noun}"
    for line in _PLACES.strip().split("\n")
    for preposition, nouns in (entry.split(": ") for entry in line.split("|"))
    for noun in nouns.split()
} | {
    "forest": "in the woods",
    "woods": "in the woods",
    "backyard": "in a yard",
    "lawn": "in the grass",
    "shore": "at the beach",
}
PREPOSITIONS = _words("in on at through along down near into across up by over")

_EXCHANGES = """
man woman boy girl child dog person baby player surfer skateboarder cat horse bird
men women boys girls children dogs people kids players horses
beach street field park pool snow grass water road mountain forest lake river sidewalk playground +
sand
hat shirt jacket dress helmet coat uniform shorts pants sunglasses
ball frisbee stick toy rope umbrella guitar camera book bag
bike skateboard surfboard motorcycle horse boat car truck bus train sled snowboard kayak
bench table chair bed couch wall fence tree rock bridge
black white brown red blue yellow green orange pink purple tan gray
two three four five six
running playing standing jumping sitting walking riding climbing swimming sleeping eating dancing +
flying skiing surfing reading digging swinging smiling laughing fishing throwing catching kicking
runs plays stands jumps sits walks rides climbs swims sleeps eats dances
"""
EXCHANGES = [line.split() for line in _EXCHANGES.replace("+\n", "").strip().split("\n")]
"""Words of one kind, of which one can stand for another in a caption."""

EXCHANGE_KINDS = ["noun"] * 7 + ["color", "number", "action", "action"]
EXCHANGE_OF = {word: n for n, words in enumerate(EXCHANGES) for word in words}


def article(thing: str) -> str:
    """The thing with its article: "a dog", "an umbrella", "water"."""
    return thing if thing in UNCOUNTED else ("an " if thing[0] in "aeiou" else "a ") + thing


def plural(thing: str) -> str:
    """The plural of a thing's first word."""
    irregular = {"man": "men", "woman": "women", "child": "children", "person": "people", "baby": "babies"}
    if thing in irregular:
        return irregular[thing]
    if thing in {"bench", "bus", "beach", "dress"}:
        return thing + "es"
    return thing if thing.endswith("s") or thing in {"sheep", "fish"} else thing + "s"
