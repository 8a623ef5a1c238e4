"""The section `alerts`: what reaches a person, and where."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field

from runner.config.fields import Duration
from runner.config.secret_ref import SecretRef
from runner.config.section import Section


class WebhookConfig(Section):
    url: SecretRef = Field(description="Who knows the address can write there, so it is named like any secret.")


class AlertsConfig(Section):
    """Messages to a webhook when the node needs a person. Simulated runs send none."""

    webhook: WebhookConfig | None = Field(None, description="Without it no alert is sent.")
    format: Literal["json", "slack", "discord"] = "json"
    min_interval: Duration = Field(
        timedelta(minutes=1), description="Between two messages of one kind; what comes meanwhile is grouped."
    )
    denials_in_row: int = Field(5, ge=1, description="So many denials of one strategy without an order sent between.")
