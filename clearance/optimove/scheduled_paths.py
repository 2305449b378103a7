"""Where are the calls of the scheduled APIs, and how are they asked? Paths with ids and queries filled in.

Each path is a setting, because callers of the same API are seen with and without `/current`, and in differing case.
`{id}` stands for the send group. `$` stays as the vendor writes it; everything that is a value is percent-encoded.
Source: facts sheet, "Calls", "path forms", "Path trap".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledPaths:
    """Where the calls are: two of V2, with `{id}`, and two of V1."""

    send_group_customers: str = "/v2/conditional-execution/scheduled/send-groups/{id}/customers"
    send_group_approvals: str = "/v2/conditional-execution/scheduled/send-groups/{id}/approvals"
    campaign_customers: str = "/current/customers/GetProcessedCampaignCustomers"
    promotion_status: str = "/current/integrations/UpdateCustomerPromotionStatus"

    def ask_send_group(
        self, group_id: str, names: Sequence[str], *, top: int | None = None, skip: int = 0
    ) -> str:
        """The customers of a send group, with the attributes `names`; without `top`, all of them."""
        asked = [f"attributes={_join(names, ',')}"] if names else []
        return _query(_fill(self.send_group_customers, group_id), asked + _page(top, skip))

    def approve_send_group(self, group_id: str) -> str:
        """Where the approvals of a send group go."""
        return _fill(self.send_group_approvals, group_id)

    def ask_campaign(self, campaign_id: str, names: Sequence[str], *, top: int, skip: int) -> str:
        """One page of a campaign's customers, with the attributes `names`."""
        asked = [f"CampaignID={quote(campaign_id, safe='')}"]
        if names:
            asked.append(f"CustomerAttributes={_join(names, ';')}")
        return _query(self.campaign_customers, asked + _page(top, skip))


def _fill(path: str, group_id: str) -> str:
    return path.replace("{id}", quote(group_id, safe=""))


def _join(names: Sequence[str], separator: str) -> str:
    return separator.join(quote(name, safe="") for name in names)


def _page(top: int | None, skip: int) -> list[str]:
    return [] if top is None else [f"$top={top}", f"$skip={skip}"]


def _query(path: str, parameters: Sequence[str]) -> str:
    return f"{path}?{'&'.join(parameters)}" if parameters else path
