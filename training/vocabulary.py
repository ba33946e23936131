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
    "elephant": ("elephant",), "mouse face": ("mouse",), "bear": ("bear",), "chicken": ("chicken", "hen"), "bird": ("bird",),
    "parrot": ("parrot",), "flamingo": ("flamingo",), "snake": ("snake",), "dragon": ("dragon",), "dolphin": ("dolphin",), "fish": ("fish",),
    "shark": ("shark",), "crab": ("crab",), "snail": ("snail",), "honeybee": ("bee", "honeybee"), "lady beetle": ("ladybug", "ladybird", "beetle"),
    "tulip": ("tulip",), "evergreen tree": ("pine tree", "fir tree"), "palm tree": ("palm tree", "palm"), "green apple": ("green apple",),
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
    "monkey face": ("monkey",), "gorilla": ("gorilla",), "raccoon": ("raccoon",), "leopard": ("leopard",), "moose": ("moose", "elk"), "zebra": ("zebra",),
    "deer": ("deer", "reindeer"), "bison": ("bison", "buffalo"), "goat": ("goat",), "ewe": ("sheep", "lamb"), "llama": ("llama", "alpaca"),
    "giraffe": ("giraffe",), "rhinoceros": ("rhinoceros", "rhino"), "hippopotamus": ("hippopotamus", "hippo"), "hamster": ("hamster",),
    "chipmunk": ("squirrel", "chipmunk"), "hedgehog": ("hedgehog", "porcupine"), "bat": ("bat",), "polar bear": ("polar bear",), "sloth": ("sloth",),
    "skunk": ("skunk",), "kangaroo": ("kangaroo",), "turkey": ("turkey",), "rooster": ("rooster",), "baby chick": ("chick", "baby chick"),
    "dove": ("dove", "pigeon"), "eagle": ("eagle", "hawk"), "swan": ("swan",), "peacock": ("peacock",), "goose": ("goose",),
    "crocodile": ("crocodile", "alligator"), "lizard": ("lizard", "gecko"), "sauropod": ("dinosaur", "brontosaurus"), "T-Rex": ("t-rex", "tyrannosaurus"),
    "seal": ("seal", "sea lion"), "tropical fish": ("tropical fish",), "spiral shell": ("seashell", "shell"), "coral": ("coral",),
    "jellyfish": ("jellyfish",), "lobster": ("lobster",), "shrimp": ("shrimp", "prawn"), "squid": ("squid",), "bug": ("caterpillar",), "ant": ("ant",),
    "spider": ("spider",), "scorpion": ("scorpion",), "bouquet": ("bouquet", "bunch of flowers"), "hibiscus": ("flower", "hibiscus"),
    "seedling": ("seedling", "sprout"), "potted plant": ("potted plant", "houseplant"), "sheaf of rice": ("wheat", "sheaf of wheat"),
    "four leaf clover": ("clover", "four-leaf clover"), "maple leaf": ("maple leaf",), "leaf fluttering in wind": ("leaf",),
    "nest with eggs": ("nest",), "rock": ("rock", "stone", "boulder"), "grapes": ("grapes", "bunch of grapes"), "melon": ("melon",),
    "tangerine": ("tangerine", "mandarin"), "pear": ("pear",), "peach": ("peach",), "blueberries": ("blueberries", "blueberry"),
    "kiwi fruit": ("kiwi", "kiwi fruit"), "coconut": ("coconut",), "eggplant": ("eggplant", "aubergine"), "potato": ("potato",),
    "ear of corn": ("corn", "ear of corn"), "hot pepper": ("chili pepper", "chili"), "bell pepper": ("bell pepper",), "cucumber": ("cucumber",),
    "broccoli": ("broccoli",), "onion": ("onion",), "croissant": ("croissant",), "pretzel": ("pretzel",), "pancakes": ("pancakes", "stack of pancakes"),
    "waffle": ("waffle",), "cheese wedge": ("cheese", "piece of cheese"), "poultry leg": ("chicken leg", "drumstick"), "cut of meat": ("steak",),
    "bacon": ("bacon",), "french fries": ("french fries", "fries"), "hot dog": ("hot dog",), "sandwich": ("sandwich",),
    "cooking": ("fried egg", "frying pan"), "green salad": ("salad", "bowl of salad"), "popcorn": ("popcorn", "bucket of popcorn"),
    "rice ball": ("rice ball", "onigiri"), "steaming bowl": ("bowl of noodles", "ramen", "noodles"), "spaghetti": ("spaghetti", "pasta"),
    "dumpling": ("dumpling",), "shortcake": ("slice of cake", "shortcake"), "pie": ("pie",), "chocolate bar": ("chocolate bar", "chocolate"),
    "candy": ("candy",), "lollipop": ("lollipop",), "honey pot": ("honey pot", "honey"), "glass of milk": ("glass of milk", "milk"),
    "wine glass": ("glass of wine", "wine"), "cocktail glass": ("cocktail", "martini"), "beer mug": ("beer", "mug of beer"), "bubble tea": ("bubble tea",),
    "spoon": ("spoon",), "kitchen knife": ("knife", "kitchen knife"), "amphora": ("vase", "amphora"), "globe showing Europe-Africa": ("globe", "earth"),
    "compass": ("compass",), "volcano": ("volcano",), "desert island": ("island", "desert island"), "classical building": ("temple", "greek temple"),
    "hospital": ("hospital",), "school": ("school",), "factory": ("factory",), "Japanese castle": ("pagoda", "japanese castle"), "Tokyo tower": ("tower",),
    "Statue of Liberty": ("statue of liberty",), "church": ("church", "chapel"), "mosque": ("mosque",), "shinto shrine": ("torii gate",),
    "fountain": ("fountain",), "ferris wheel": ("ferris wheel",), "roller coaster": ("roller coaster",), "circus tent": ("circus tent", "circus"),
    "high-speed train": ("bullet train",), "tram car": ("tram", "streetcar"), "ambulance": ("ambulance",), "fire engine": ("fire engine", "fire truck"),
    "police car": ("police car",), "pickup truck": ("pickup truck", "pickup"), "articulated lorry": ("truck", "lorry"),
    "racing car": ("racing car", "race car"), "motorcycle": ("motorcycle", "motorbike"), "motor scooter": ("scooter", "moped"),
    "skateboard": ("skateboard",), "roller skate": ("roller skate",), "wheel": ("wheel", "tire", "tyre"), "vertical traffic light": ("traffic light",),
    "stop sign": ("stop sign",), "anchor": ("anchor",), "canoe": ("canoe", "kayak"), "passenger ship": ("ship", "cruise ship"), "parachute": ("parachute",),
    "mountain cableway": ("cable car",), "luggage": ("suitcase", "luggage"), "hourglass done": ("hourglass",), "watch": ("watch", "wristwatch"),
    "thermometer": ("thermometer",), "sun": ("sun",), "ringed planet": ("planet", "saturn"), "cloud": ("cloud",), "cloud with rain": ("rain cloud",),
    "tornado": ("tornado", "whirlwind"), "high voltage": ("lightning bolt", "lightning"), "snowflake": ("snowflake",),
    "droplet": ("water drop", "drop of water"), "water wave": ("wave", "ocean wave"), "Christmas tree": ("christmas tree",),
    "party popper": ("party popper",), "ribbon": ("ribbon",), "sports medal": ("medal", "gold medal"), "baseball": ("baseball",),
    "volleyball": ("volleyball",), "american football": ("american football",), "tennis": ("tennis racket",),
    "bowling": ("bowling ball", "bowling pins"), "ping pong": ("ping pong paddle", "table tennis bat"), "boxing glove": ("boxing glove",),
    "ice skate": ("ice skate",), "sled": ("sled", "sledge"), "bullseye": ("target", "bullseye", "dartboard"), "kite": ("kite",),
    "water pistol": ("water pistol",), "pool 8 ball": ("billiard ball", "eight ball"), "crystal ball": ("crystal ball",),
    "magic wand": ("magic wand", "wand"), "video game": ("game controller", "gamepad"), "game die": ("dice",), "puzzle piece": ("puzzle piece",),
    "teddy bear": ("teddy bear", "teddy"), "mirror ball": ("disco ball", "mirror ball"), "nesting dolls": ("nesting doll", "matryoshka"),
    "chess pawn": ("chess pawn", "pawn"), "performing arts": ("theater masks", "theatre masks"), "framed picture": ("picture frame",),
    "artist palette": ("paint palette", "palette"), "yarn": ("ball of yarn", "yarn"), "glasses": ("glasses", "pair of glasses"),
    "sunglasses": ("sunglasses",), "t-shirt": ("t-shirt", "shirt"), "jeans": ("jeans", "trousers"), "scarf": ("scarf",),
    "gloves": ("gloves", "pair of gloves"), "coat": ("coat", "jacket"), "socks": ("socks", "pair of socks"), "dress": ("dress",), "shorts": ("shorts",),
    "folding hand fan": ("hand fan", "fan"), "handbag": ("handbag",), "backpack": ("backpack", "rucksack"), "hiking boot": ("boot", "hiking boot"),
    "high-heeled shoe": ("high heel",), "woman\u2019s hat": ("sun hat", "straw hat"), "graduation cap": ("graduation cap",),
    "billed cap": ("cap", "baseball cap"), "rescue worker\u2019s helmet": ("helmet",), "ring": ("ring", "diamond ring"), "megaphone": ("megaphone",),
    "bell": ("bell", "golden bell"), "musical note": ("musical note", "music note"), "microphone": ("microphone",), "headphone": ("headphones",),
    "radio": ("radio",), "saxophone": ("saxophone",), "trumpet": ("trumpet",), "accordion": ("accordion",), "musical keyboard": ("piano",),
    "violin": ("violin",), "maracas": ("maracas",), "flute": ("flute",), "mobile phone": ("smartphone", "mobile phone"), "telephone": ("telephone",),
    "laptop": ("laptop",), "desktop computer": ("computer",), "television": ("television", "tv"), "magnifying glass tilted left": ("magnifying glass",),
    "flashlight": ("flashlight", "torch"), "red paper lantern": ("red lantern", "lantern"), "open book": ("open book",), "scroll": ("scroll", "parchment"),
    "newspaper": ("newspaper",), "coin": ("coin", "gold coin"), "money bag": ("money bag", "bag of money"), "dollar banknote": ("banknote", "dollar"),
    "envelope": ("envelope", "letter"), "package": ("cardboard box", "box"), "postbox": ("postbox", "mailbox"), "pen": ("pen",),
    "paintbrush": ("paintbrush",), "calendar": ("calendar",), "scissors": ("scissors", "pair of scissors"), "locked": ("padlock", "lock"),
    "hammer": ("hammer",), "axe": ("axe", "hatchet"), "pick": ("pickaxe",), "bow and arrow": ("bow and arrow",), "shield": ("shield",),
    "carpentry saw": ("saw", "handsaw"), "wrench": ("wrench", "spanner"), "screwdriver": ("screwdriver",), "gear": ("gear", "cogwheel"),
    "toolbox": ("toolbox",), "magnet": ("magnet",), "ladder": ("ladder",), "microscope": ("microscope",), "telescope": ("telescope",), "door": ("door",),
    "window": ("window",), "bed": ("bed",), "couch and lamp": ("sofa", "couch"), "chair": ("chair",), "toilet": ("toilet",), "bathtub": ("bathtub",),
    "broom": ("broom", "broomstick"), "basket": ("basket",), "bucket": ("bucket", "pail"), "toothbrush": ("toothbrush",),
    "fire extinguisher": ("fire extinguisher",), "shopping cart": ("shopping cart", "shopping trolley"), "moai": ("easter island statue", "moai"),
    "trident emblem": ("trident",), "pile of poo": ("poop", "poo"), "alien monster": ("space invader",), "collision": ("explosion",),
    "mermaid": ("mermaid",), "fairy": ("fairy",), "mage": ("wizard", "mage"), "vampire": ("vampire",), "zombie": ("zombie",),
    "Santa Claus": ("santa claus", "santa"), "astronaut": ("astronaut", "spaceman"), "ninja": ("ninja",), "princess": ("princess",), "brain": ("brain",),
    "tooth": ("tooth",), "bone": ("bone",),
}  # fmt: skip

#: Names that take no article and have no plural of their own: uncounted, or many already.
WITHOUT_ARTICLE = frozenset({
    "bacon", "blueberries", "books", "bowling pins", "bread", "broccoli", "cheese", "cherries", "coffee", "corn", "earth", "fire", "french fries", "fries",
    "glasses", "gloves", "grapes", "headphones", "honey", "jeans", "lightning", "luggage", "maracas", "milk", "noodles", "pancakes", "pasta", "popcorn",
    "ramen", "scissors", "shorts", "socks", "spaghetti", "sunglasses", "sushi", "theater masks", "theatre masks", "trousers", "wheat", "wine", "yarn",
})  # fmt: skip

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
    """pup hound canine feline tomcat tabby vixen stallion mare foal calf cattle bull ox hog swine boar dromedary hare grizzly cub poultry sparrow robin drake
    duckling barn-owl macaw cockatoo amphibian reptile serpent cobra python wyvern orca porpoise salmon goldfish trout slug moth wasp bumblebee insect bug
    blossom daisy lily orchid succulent fungus oak spruce conifer citrus berry berries vegetable toast baguette margherita cheeseburger burrito omelette
    seafood snack dessert pastry gelato sundae espresso latte cappuccino teacup kettle cottage hut mansion palace camp camping railway coach minibus vehicle
    sedan wagon cyclist yacht sail vessel jet aircraft airliner chopper spacecraft shuttle starship parasol frosty prize award sport instrument banjo
    tambourine bongo tiara king queen password novel library photograph photo wax timer ruby emerald treasure love romance lunar arc colorful flames bonfire
    blaze android machine cyborg spirit phantom spook martian extraterrestrial halloween skeleton bones joker jester happy emoji smile parcel magician
    trainer sneakers animal food drink toy lake river park garden jungle woodland countryside farm hills sahara arctic icy frost blizzard evening dawn
    sunrise midnight dark moonlight galaxy universe cosmos deep reef coast shore seaside town street skyline skyscrapers heaven cloudy sunny summer spring
    autumn peak peaks alps crimson scarlet lime turquoise cyan navy violet magenta grey silver beige maroon pale bright realistic rendered blender clay
    plastic glossy illustration comic animated anime icon logo emblem minimal vector simple sticker pixelated retro 8bit 16bit sprite painted aquarelle brush
    sketched drawn charcoal line monochrome black-and-white small little mini huge large giant cute funny beautiful lovely old young sitting standing
    swimming running""".split()  # noqa: SIM905
)

#: Prompts that show the model well, each with the seed that was looked at.
EXAMPLES: tuple[tuple[str, int], ...] = (
    ("a fox in the snow, 3d render", 0),
    ("a red apple on a blue background, 3d render", 0),
    ("a penguin on a beach, cartoon", 0),
    ("a rocket in space, 3d render", 0),
    ("a robot in a city at night, 3d render", 0),
    ("a sunflower in a meadow, cartoon", 1),
    ("headphones on a purple background", 0),
    ("a snowman at sunset", 0),
    ("a lion on a teal background, cartoon", 4),
    ("a piano on a beach", 0),
    ("a puppy in the snow", 0),
    ("a watermelon on the beach", 1),
    ("a castle at sunset, 3d render", 4),
    ("two pumpkins at night", 2),
)
