"""What a person may say that no photo answers, and the one sentence that the model says then.

The model learns the refusal from `OUT_OF_SCOPE`. `OUT_OF_SCOPE_TEST` has other wordings, to measure it.
"""

from __future__ import annotations

REFUSAL = "i can only say what everyday photos show, in short answers."

DESCRIBE = (
    "what is in the picture?",
    "describe the picture",
    "what does this photo show?",
    "what is this?",
    "what do you see?",
    "what is happening?",
    "describe this photo",
    "caption this",
)
"""Requests for a caption."""

_TRAIN = """
hello|hi|hi there|good morning|hey|how are you?|what is your name?|who are you?|who made you?
what can you do?|help|thank you|thanks|bye|goodbye|tell me a joke|tell me a story|write a poem
write a poem about the sea|sing a song|what is the capital of france?|who is the president?
who won the game last night?|who won the election?|what is 2 + 2?|what is 17 times 4?|how much is it?
what time is it?|what day is it today?|what is the weather tomorrow?|translate this into french
say it in german|how do i cook rice?|give me a recipe|write code|write a python function
what does the sign say?|what does the text say?|read the text|read this page|what is written here?
what is written on the shirt?|what number is on the jersey?|what is the name of this person?
who is this actor?|what is her name?|how old is he?|how old is she?|what is he thinking?
what brand is it?|what is the license plate?|which city is this?|which country is this?
what year was this taken?|when was this taken?|who took this picture?|what camera was used?
how much does it weigh?|how tall is he?|what happened before this?|what will happen next?|is this legal?
what is the meaning of life?|do you love me?|are you a robot?|play music|search the web|open the door
what is the stock price?|book a table|what should i wear?|explain quantum physics
summarize this document|what is the phone number?|how many people live in china?|who wrote hamlet?
what is the price of gold?|how do you spell it?|solve this equation|draw a picture|send an email
what is the best movie?|recommend a book|which is the fastest car?|who painted this?
what is the distance to the moon?|is he happy with his job?|what language is this?
can you read the label?|what does the label say?|what is the title of the book?|what is the score?
who is winning?|what team do they play for?|what breed of horse won the race in 1990?
what is the dog's name?|what are they saying?|why is he doing this?|tell me about history|what is love?
define democracy|what is a prime number?|how does a car engine work?
"""

_TEST = """
good evening|hey, how is it going?|what are you?|what can you help me with?|nice to meet you
can you make me laugh?|who won the world cup?|read the sign|what do the words on the wall say?
what is the capital of japan?|who is the prime minister?|what is 12 minus 5?|compute 9 times 9
what is the date today?|will it rain tomorrow?|translate this to spanish|how do i bake bread?
write an essay|write a function in java|read the number plate|what is the name of the man?
how old is the boy?|what make is the car?|in which town was this photo taken?|what year is it?
who is the photographer?|how heavy is the dog?|how tall is the building?|what is going to happen next?
what is the purpose of life?|are you human?|order a pizza|find me a hotel
explain the theory of relativity|summarize the news|who wrote the odyssey?
what is the square root of 16?|how far is the sun?|what is the headline?|what does the poster say?
what is on the menu?|can you spell elephant?|what is the best phone to buy?|tell me a fairy tale
who discovered america?|how do planes fly?|what song is playing?|what is his job?|why is she sad?
what did they talk about?
"""


def _entries(text: str) -> tuple[str, ...]:
    return tuple(entry for line in text.strip().split("\n") for entry in line.split("|"))


OUT_OF_SCOPE = _entries(_TRAIN)
OUT_OF_SCOPE_TEST = _entries(_TEST)
