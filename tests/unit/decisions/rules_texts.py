"""Rules files that are right, for tests that break or reformat them."""

HEAD = "# Rules of a test\n"

SMALLEST = """\
[attributes]
age = "int"
[[check]]
id = "grown-up"
reason = "TOO_YOUNG"
cel = "age >= 18"
[[policy]]
id = "everything"
applies = "true"
checks = ["grown-up"]
"""

# A check of each kind. Line 1 is `[attributes]`.
ONE_OF_EACH = """\
[attributes]
age = "int"
country = "string"
spent = "double"
is_new = "bool"

[[check]]
id = "grown-up"
reason = "TOO_YOUNG"
cel = "age >= 18"

[[check]]
id = "asked"
reason = "SAID_NO"
[check.http]
url = "https://internal.example/ask"

[[check]]
id = "scored"
reason = "LOW_SCORE"
python = "score"

[[check]]
id = "listed"
reason = "LISTED"
suppression = "customers"

[[policy]]
id = "all"
applies = "true"
checks = ["grown-up", "asked", "scored", "listed"]
"""

# The sample of the format, with shorter comments.
SAMPLE = """\
# The rules format. Declared attributes are the only names a CEL check may use; what does not fit is refused
# when the rules are loaded. Values come from the vendor's payload;
# text is converted strictly ("12.50" to double, "true"/"false" to bool), anything else counts as missing.

[defaults]
no_policy         = "reject"     # a campaign that no policy names
missing_attribute = "reject"     # reason MISSING:<attribute>; a check may say when_missing = "approve"

[attributes]
country        = "string"
age            = "int"
total_deposits = "double"
self_excluded  = "bool"
loyalty_tier   = "string"

[[check]]
id     = "not-self-excluded"
cel    = "!self_excluded"
reason = "SELF_EXCLUDED"

[[check]]
id     = "licensed-country"
cel    = 'country in ["DE", "AT", "NL"]'
reason = "COUNTRY_NOT_LICENSED"

[[check]]
id     = "minimum-deposit"
cel    = "total_deposits >= 50.0"
reason = "DEPOSITS_BELOW_MINIMUM"

[[check]]
id     = "promotion-active"      # asks an internal system, in batches; must be safe to repeat (same Idempotency-Key)
reason = "PROMOTION_NOT_ACTIVE"
[check.http]
url       = "http://127.0.0.1:9000/promotions/activate"
batch     = 200
timeout_s = 2.0
on_error  = "reject"             # or "approve"; reason CHECK_FAILED:<id>
headers   = { Authorization = "env:PROMO_AUTHORIZATION" }

[[check]]
id          = "not-suppressed"
suppression = "customers"
reason      = "SUPPRESSED"

[[policy]]
id      = "bonus-campaigns"
applies = '"bonus" in tags'      # over: lane, channel_id, channel_name, brand_id, ...
checks  = ["not-self-excluded", "licensed-country", "minimum-deposit", "promotion-active", "not-suppressed"]

[[policy]]
id      = "everything-else"
applies = "true"
checks  = ["not-self-excluded", "licensed-country", "not-suppressed"]
# The first policy that applies is used. All its checks are evaluated; a customer is approved only if all approve,
# and every reason that did not is recorded.
"""
