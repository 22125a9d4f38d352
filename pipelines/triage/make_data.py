"""Makes data/messages.csv and data/truth.csv: letters to an imagined shop, and what is known about each.

The same seed gives the same files. A letter is put together from sentences, so that its team, its language and the
letter that it repeats are known: what the pipeline finds is held against that. The sentences were written for this
example.
"""

import csv
import random
from itertools import product
from pathlib import Path
from typing import Any

SEED = 7
LETTERS = 75  # of each team, in English
REPEATS = 45  # letters that are sent again, with small changes
FOREIGN = 45  # letters in each other language

OPENINGS = ["Hello,", "Good morning.", "Hi there!", "Dear team,", "To whom it may concern:", "Hey,"]
CLOSINGS = ["Thanks.", "Best regards", "Please answer soon.", "Yours, a customer", "Looking forward to your reply.", ""]

# What happened, and what is said about it, by the team that answers.
ENGLISH = {
    "billing": (
        [
            "I was charged twice for the same invoice.",
            "The refund for my returned jacket has not reached my bank account.",
            "My credit card statement shows a payment I never authorised.",
            "The discount code was not subtracted from the total.",
            "You billed me for the yearly plan instead of the monthly one.",
            "I need an invoice with our VAT number on it.",
            "The price at checkout was higher than the one in the catalogue.",
            "My direct debit bounced and now there is a late fee.",
        ],
        [
            "The amount is 49 euros.",
            "Our accountant needs this before the quarter ends.",
            "This is outrageous and I want my money back!",
            "I have attached the receipt.",
            "Could you correct the sum?",
            "I paid by bank transfer on Monday.",
            "It is the third time this happens, which is really annoying.",
            "Please tell me how to pay the right amount.",
            "I would rather pay in instalments.",
            "The tax is wrong, too.",
        ],
    ),
    "delivery": (
        [
            "My parcel has been stuck in the depot for nine days.",
            "The courier left the box in the rain.",
            "Tracking says delivered, but nothing arrived at my door.",
            "I would like to change the shipping address of my order.",
            "Only half of the shipment came today.",
            "The driver never rang the bell and took the package away again.",
            "Can you send it by express instead of standard mail?",
            "The parcel was delivered to a neighbour I do not know.",
        ],
        [
            "It was a birthday present and now it is too late.",
            "I will be away from Friday on.",
            "The tracking number has not moved since last week.",
            "This carrier is terrible, I am very disappointed.",
            "When can I expect it?",
            "I live on the second floor at the back.",
            "A pickup point near the station would suit me.",
            "Everything else about the shipment was fine.",
            "The warehouse does not answer the phone.",
            "I waited at home the whole day for nothing!",
        ],
    ),
    "account": (
        [
            "I cannot log in since the last update.",
            "The password reset mail never arrives.",
            "Please delete my account and all my personal data.",
            "My username is shown with a spelling mistake.",
            "The login page says that my profile is locked.",
            "I want to change the mail address of my profile.",
            "Two-factor authentication rejects every code.",
            "Somebody from another country signed in to my account.",
        ],
        [
            "I have tried three browsers.",
            "I am worried that I was hacked, this is scary.",
            "The link in the message has expired.",
            "I no longer have my old phone.",
            "It worked on my tablet yesterday.",
            "How do I verify who I am?",
            "The security question is in a language I do not speak.",
            "I hate having to register again and again.",
            "My wife uses the same sign-in.",
            "A new password would be great.",
        ],
    ),
    "product": (
        [
            "The coffee machine leaks water from the bottom.",
            "The battery of the drill lasts only ten minutes.",
            "One leg of the table is shorter than the others.",
            "The zip of the jacket broke on the first day.",
            "The headphones make a crackling noise on the left side.",
            "The lamp flickers and gets very hot.",
            "The screen of the tablet has a crack in the corner.",
            "The kettle smells of burnt plastic.",
        ],
        [
            "Is there a spare part for it?",
            "It is still under warranty.",
            "This is poor quality and I regret buying it.",
            "I followed the manual step by step.",
            "I can send you a video of the defect.",
            "It looks beautiful, though.",
            "The replacement had the very same fault, which is awful.",
            "Can it be repaired?",
            "I use it every morning.",
            "The model before this one was much better.",
        ],
    ),
    "praise": (
        [
            "I just want to say that your support was wonderful.",
            "The lady on the phone was so kind and patient.",
            "Your shop is my favourite, keep up the good work!",
            "What a pleasant surprise, the gift wrapping was lovely.",
            "I have recommended you to all my friends.",
            "Everything went perfectly, from the first click to the last.",
            "Your newsletter always makes me smile.",
            "I am delighted by how friendly everybody at your company is.",
        ],
        [
            "Five stars from me.",
            "I will certainly come back.",
            "You made my day!",
            "Please give my thanks to the whole staff.",
            "It is rare to see such great service these days.",
            "My mother is happy, too.",
            "Never change.",
            "You deserve an award.",
            "I wrote a good review about you.",
            "That is how it should be everywhere.",
        ],
    ),
}

OTHER = {
    "de": (
        ["Mein Paket ist seit einer Woche verschwunden.", "Die Rechnung ist leider falsch.",
         "Ich kann mich nicht mehr anmelden.", "Die Kaffeemaschine verliert Wasser.",
         "Vielen Dank für die schnelle Hilfe!", "Wo bleibt meine Bestellung?", "Der Reißverschluss ist kaputt."],
        ["Bitte melden Sie sich bald bei mir.", "Ich bin sehr enttäuscht.", "Was kann ich jetzt tun?",
         "Ich habe schon zweimal angerufen.", "Mit freundlichen Grüßen aus Köln", "Der Beleg liegt bei.",
         "So etwas habe ich noch nie erlebt."],
    ),
    "fr": (
        ["Mon colis n'est toujours pas arrivé.", "La facture contient une erreur.",
         "Je n'arrive plus à me connecter à mon compte.", "La machine à café fuit.",
         "Merci beaucoup pour votre aide rapide !", "Où est ma commande ?", "La fermeture éclair est cassée."],
        ["Merci de me répondre rapidement.", "Je suis très déçu.", "Que dois-je faire maintenant ?",
         "J'ai déjà appelé deux fois.", "Cordialement, une cliente fidèle", "Vous trouverez le reçu ci-joint.",
         "C'est la première fois que cela m'arrive."],
    ),
    "es": (
        ["Mi paquete todavía no ha llegado.", "La factura tiene un error.",
         "No puedo entrar en mi cuenta desde ayer.", "La cafetera pierde agua.",
         "¡Muchas gracias por su ayuda tan rápida!", "¿Dónde está mi pedido?", "La cremallera está rota."],
        ["Por favor, respóndanme pronto.", "Estoy muy decepcionada.", "¿Qué puedo hacer ahora?",
         "Ya he llamado dos veces por teléfono.", "Un saludo desde Sevilla", "Adjunto el recibo de la compra.",
         "Nunca me había pasado algo así."],
    ),
}  # fmt: skip

Row = dict[str, Any]


def letters() -> list[Row]:
    """The letters in the order in which they arrive: `id` from 1 on, `text`, `language`, `team` (None for those that
    are not in English) and `repeats`, the id of the letter of which it is a copy (or None)."""
    chance = random.Random(SEED)
    first: list[Row] = []
    for team, (events, details) in ENGLISH.items():
        for event, detail in chance.sample(list(product(events, details)), LETTERS):
            text = " ".join([chance.choice(OPENINGS), event, detail, chance.choice(CLOSINGS)]).strip()
            first.append({"text": text, "language": "en", "team": team, "original": None})
    for language, (events, details) in OTHER.items():
        for event, detail in chance.sample(list(product(events, details)), FOREIGN):
            first.append({"text": f"{event} {detail}", "language": language, "team": None, "original": None})
    chance.shuffle(first)
    english = [row for row in first if row["language"] == "en"]
    again = [{**row, "text": _changed(row["text"], chance), "original": row} for row in chance.sample(english, REPEATS)]
    found = first + again
    number = {id(row): at for at, row in enumerate(found, start=1)}
    return [
        {
            "id": number[id(row)],
            "text": row["text"],
            "language": row["language"],
            "team": row["team"],
            "repeats": number[id(row["original"])] if row["original"] else None,
        }
        for row in found
    ]


def _changed(text: str, chance: random.Random) -> str:
    """The same letter as somebody writes it again: loud, without marks, with a new beginning or with a slip."""
    at = chance.randrange(len(text) - 1)
    return chance.choice(
        [
            text.upper(),
            text.replace(",", "").replace(".", ""),
            f"Again: {text}",
            text[:at] + text[at + 1] + text[at] + text[at + 2 :],
        ]
    )


def main() -> None:
    folder = Path(__file__).parent / "data"
    made = letters()
    for name, columns in (("messages", ["id", "text"]), ("truth", ["id", "language", "team", "repeats"])):
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(made)


if __name__ == "__main__":
    main()
