"""What became of an approval call, in an operator's words."""

from clearance.ledger.decisions import Answer

MEANING_BY_ANSWER = {
    Answer.TAKEN: "acknowledged",
    Answer.REFUSED: "not taken",
    Answer.UNKNOWN: "no answer came back, it may have arrived",
}
