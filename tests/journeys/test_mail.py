"""Mail on request: the receipt, and the report of a delayed delivery."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

from selenium.webdriver.common.by import By

from demo.mailbox import Mailbox
from tests.support.browser.user import MAIJA, orcid_uri

HOME = "maija@home.example"
SOON = 120.0
"""Seconds: the worker looks for mail four times a minute, and tries a delivery again after five seconds."""
FORGED = b"""From: orcid-connect@example.org\r
To: maija@home.example\r
Subject: =?utf-8?q?=3Cb=3EKuitti=3C/b=3E?=\r
Content-Type: text/plain; charset=utf-8\r
\r
<script>alert(1)</script> & <a href="https://elsewhere.example/">here</a>\r
"""


def mails_to(user, subjects):
    """Wait for mails with these subjects on the demonstration's page, and return their texts."""
    until = time.monotonic() + SOON
    while True:
        user.visit("/mail").expect_heading("Mail", "mail-that-came")
        come = {
            each.find_element(By.TAG_NAME, "h2").text: each.text
            for each in user.driver.find_elements(By.TAG_NAME, "article")
        }
        if subjects <= come.keys():
            return come
        assert time.monotonic() < until, f"only {sorted(come)} have come"
        time.sleep(0.5)


def test_receipt_and_delivery_report_are_sent_by_mail(user, demo):
    demo.set_register_fault("503")
    user.link("maija", MAIJA, "Your ORCID iD is on its way to your organisation")
    assert "We will keep trying for three days." in user.text
    user.press("Get a confirmation by email")
    user.driver.find_element(By.ID, "address").send_keys(HOME)
    user.click_id("receipt").click_id("delivery-report").screenshot("mail-asked-for").press("Send it").expect_heading(
        "You will get an email"
    )

    demo.set_register_fault("")

    receipt, answered = "Receipt of what you agreed to", "Delivery of your ORCID iD"
    come = mails_to(user, {f"ORCID connect: {receipt}", f"ORCID connect: {answered}"})
    assert HOME in come[f"ORCID connect: {receipt}"]
    assert orcid_uri(MAIJA) in come[f"ORCID connect: {receipt}"]
    assert "Register of staff: Received." in come[f"ORCID connect: {answered}"]
    user.visit("/identity-management/").expect_heading(
        "ORCID iDs of this organisation's people", "register-that-was-told"
    )
    assert orcid_uri(MAIJA) in user.text


def test_mail_is_displayed_escaped():
    mailbox = Mailbox()

    asyncio.run(mailbox.handle_DATA(None, None, SimpleNamespace(content=FORGED)))

    page = mailbox.render().body.decode()
    assert "&lt;b&gt;Kuitti&lt;/b&gt;" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &lt;a href" in page
    assert "<script" not in page
