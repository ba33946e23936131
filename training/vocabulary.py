"""What the pocket model can draw: the things, places, colours and styles of its world, each with the words people use for it.

Read by `training.sprites` (which artwork to render), `training.scenes` (how to caption it) and by the bot's autocomplete through
`engine/pocket/vocabulary.json`, which `training.export` writes. The first word of each entry is its name; the rest are synonyms.
"""

from __future__ import annotations

#: Emoji label (CLDR short name) → the words a caption may use. Things with an outline and colours one can tell from afar.
THINGS: dict[str, tuple[str, ...]] = {
    "dog face": ("dog", "puppy", "doggy"), "cat face": ("cat", "kitten", "kitty"), "fox": ("fox",), "lion": ("lion",), "pig face": ("pig", "piglet"),
    "rabbit face": ("rabbit", "bunny"), "koala": ("koala",), "panda": ("panda",), "penguin": ("penguin",), "duck": ("duck",), "owl": ("owl",),
    "frog": ("frog", "toad"), "turtle": ("turtle", "tortoise"), "whale": ("whale",), "octopus": ("octopus",), "butterfly": ("butterfly",),
    "rose": ("rose", "red rose"), "sunflower": ("sunflower",), "cactus": ("cactus",), "mushroom": ("mushroom", "toadstool"), "deciduous tree": ("tree",),
    "red apple": ("apple", "red apple"), "watermelon": ("watermelon",), "lemon": ("lemon",), "banana": ("banana",), "strawberry": ("strawberry",),
    "pizza": ("pizza", "slice of pizza"), "hamburger": ("hamburger", "burger"), "doughnut": ("doughnut", "donut"), "cupcake": ("cupcake", "muffin"),
    "soft ice cream": ("ice cream",), "house": ("house", "home"), "castle": ("castle", "fortress"), "bus": ("bus",),
    "automobile": ("car", "red car", "automobile"), "sailboat": ("sailboat", "sailing boat", "boat"), "rocket": ("rocket", "spaceship"),
    "snowman without snow": ("snowman",), "balloon": ("balloon", "red balloon"), "star": ("star", "yellow star"), "red heart": ("heart", "red heart"),
    "full moon face": ("moon",), "rainbow": ("rainbow",), "fire": ("fire", "flame"), "robot": ("robot",), "ghost": ("ghost",), "alien": ("alien",),
    "jack-o-lantern": ("pumpkin", "jack o lantern"),
    "wolf": ("wolf",), "tiger face": ("tiger",), "horse face": ("horse", "pony"), "unicorn": ("unicorn",), "cow face": ("cow",), "camel": ("camel",),
    "elephant": ("elephant",), "mouse face": ("mouse",), "bear": ("bear", "teddy bear"), "chicken": ("chicken", "hen"), "bird": ("bird",),
    "parrot": ("parrot",), "flamingo": ("flamingo",), "snake": ("snake",), "dragon": ("dragon",), "dolphin": ("dolphin",), "fish": ("fish",),
    "shark": ("shark",), "crab": ("crab",), "snail": ("snail",), "honeybee": ("bee", "honeybee"), "lady beetle": ("ladybug", "ladybird", "beetle"),
    "tulip": ("tulip",), "evergreen tree": ("pine tree", "fir tree", "christmas tree"), "palm tree": ("palm tree", "palm"), "green apple": ("green apple",),
    "pineapple": ("pineapple",), "cherries": ("cherries", "cherry"), "tomato": ("tomato",), "avocado": ("avocado",), "carrot": ("carrot",),
    "bread": ("bread", "loaf of bread"), "taco": ("taco",), "egg": ("egg",), "sushi": ("sushi",), "cookie": ("cookie", "biscuit"),
    "birthday cake": ("birthday cake", "cake"), "hot beverage": ("cup of coffee", "coffee", "cup of tea"), "teapot": ("teapot",), "tent": ("tent",),
    "locomotive": ("train", "steam train", "locomotive"), "taxi": ("taxi", "cab"), "tractor": ("tractor",), "bicycle": ("bicycle", "bike"),
    "airplane": ("airplane", "plane", "aeroplane"), "helicopter": ("helicopter",), "flying saucer": ("flying saucer", "ufo"), "umbrella": ("umbrella",),
    "trophy": ("trophy", "golden cup"), "soccer ball": ("soccer ball", "football"), "basketball": ("basketball",), "guitar": ("guitar",), "drum": ("drum",),
    "crown": ("crown",), "key": ("key",), "books": ("books", "stack of books"), "camera": ("camera",), "candle": ("candle",),
    "light bulb": ("light bulb", "lamp"), "alarm clock": ("alarm clock", "clock"), "gem stone": ("gem", "diamond", "jewel"), "skull": ("skull",),
    "clown face": ("clown",), "grinning face": ("smiley", "smiling face"), "wrapped gift": ("gift", "present"), "top hat": ("top hat", "hat"),
    "running shoe": ("shoe", "sneaker"),
}  # fmt: skip

#: Names that take no article and have no plural of their own.
WITHOUT_ARTICLE = frozenset({"cherries", "books", "bread", "coffee", "sushi", "fire"})

#: Named plain grounds, as sRGB.
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 48, 49), "orange": (240, 147, 43), "yellow": (249, 210, 60), "green": (56, 165, 80), "blue": (52, 120, 220),
    "light blue": (150, 205, 250), "purple": (125, 70, 190), "pink": (253, 160, 190), "white": (248, 248, 248), "black": (22, 22, 25),
    "gray": (130, 134, 140), "brown": (120, 78, 48), "teal": (20, 150, 150),
}  # fmt: skip

#: Painted places → how a caption says them.
PLACES: dict[str, tuple[str, ...]] = {
    "snow": ("in the snow", "in winter", "on a snowy day", "on a snowy hill"),
    "sunset": ("at sunset", "in the sunset", "at dusk"),
    "night": ("at night", "under the moon", "under a starry sky"),
    "space": ("in space", "in outer space", "among the stars"),
    "sea": ("underwater", "under the sea", "in the ocean"),
    "forest": ("in a forest", "in the woods", "among trees"),
    "desert": ("in the desert", "on sand dunes"),
    "beach": ("on a beach", "at the beach", "by the sea"),
    "city": ("in a city at night", "in the city", "downtown at night"),
    "sky": ("in the sky", "in the clouds", "among clouds"),
    "meadow": ("in a meadow", "on a green field", "on the grass"),
    "mountains": ("in the mountains", "in front of mountains"),
}

#: Styles → how a caption says them. The first two are artworks, the others are filters over one.
STYLES: dict[str, tuple[str, ...]] = {
    "3d": ("3d render", "3d", "3d rendering"),
    "cartoon": ("cartoon", "cartoon drawing", "cartoon style"),
    "pixel": ("pixel art", "8-bit pixel art"),
    "watercolor": ("watercolor painting", "watercolour", "watercolor"),
    "pencil": ("pencil sketch", "pencil drawing"),
}

#: Words no caption uses, whose meaning the text encoder learns from its teacher (they come out as the nearest thing we know).
SYNONYMS: tuple[str, ...] = tuple(
    """pup hound canine feline tomcat tabby vixen stallion mare foal calf cattle bull ox hog swine boar dromedary hare grizzly cub rooster poultry sparrow
    robin drake duckling barn-owl macaw cockatoo amphibian reptile serpent cobra python wyvern dinosaur orca porpoise salmon goldfish trout squid
    lobster slug moth wasp bumblebee insect bug blossom flower daisy lily orchid succulent fungus oak maple spruce conifer coconut fruit melon citrus
    berry berries vegetable toast loaf baguette margherita cheeseburger sandwich burrito omelette seafood snack dessert pastry pie gelato sundae
    espresso latte cappuccino mug teacup kettle cottage hut mansion palace tower camp camping engine railway tram coach minibus vehicle sedan truck
    lorry wagon cyclist bicycle motorcycle yacht ship sail vessel jet aircraft airliner chopper spacecraft shuttle starship parasol frosty prize award
    medal sport ball volleyball instrument banjo violin tambourine bongo tiara king queen lock password novel library book photograph photo lantern
    wax torch bulb watch timer crystal ruby emerald treasure love romance lunar arc colorful flames bonfire blaze android machine cyborg spirit
    phantom spook martian extraterrestrial halloween skeleton bones joker jester happy emoji smile parcel box magician trainer boot sneakers animal
    bird food drink toy ocean lake river park garden jungle woodland countryside farm field hills dunes sand sahara arctic ice icy frost blizzard
    evening dawn sunrise midnight dark moonlight galaxy universe cosmos planet deep coral reef coast shore seaside island town street skyline
    skyscrapers heaven clouds cloudy sunny summer spring autumn winter peak peaks alps rock crimson scarlet golden gold lime turquoise cyan navy
    violet magenta rose grey silver beige maroon pale bright photo realistic render rendered blender clay plastic glossy illustration drawing comic
    animated anime icon logo emblem minimal vector simple sticker pixelated retro 8bit 16bit game sprite painting painted paint aquarelle brush sketch
    sketched drawn charcoal line art monochrome black-and-white small little mini huge large giant cute funny beautiful lovely old young sitting
    standing flying swimming running""".split()  # noqa: SIM905
)

#: Prompts that show the model well, each with the seed that was looked at.
EXAMPLES: tuple[tuple[str, int], ...] = (
    ("a fox in the snow, 3d render", 0),
    ("a red apple on a blue background, 3d render", 1),
    ("a penguin on a beach, cartoon", 2),
    ("a rocket in space, 3d render", 3),
    ("a robot in a city at night, 3d render", 8),
    ("a sunflower in a meadow, cartoon", 10),
    ("a car in the desert, 3d render", 11),
    ("a snowman at sunset", 12),
    ("a lion on a purple background, cartoon", 14),
    ("a burger on a pink background", 16),
    ("a puppy in the snow", 20),
    ("a mushroom in a forest, 3d render", 30),
)
