"""A secret shows nowhere: not in a log, not in a traceback, not in what the models print."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from pathlib import Path

from pydantic import SecretStr

from runner.config.models import SecretRef
from runner.config.secrets import MASK, RedactFilter, redact, remember

ROOT = Path(__file__).parents[2]
VALUE = "hush/hush+hush"


def test_known_values_are_masked_the_longest_first() -> None:
    remember([SecretStr("hushhush"), SecretStr("hushhush-and-more")])
    assert redact("a hushhush-and-more b hushhush c") == f"a {MASK} b {MASK} c"


def test_very_short_values_are_left_so_that_words_survive() -> None:
    remember([SecretStr("on")])
    assert redact("only on") == "only on"


def test_a_log_line_and_its_traceback_are_masked() -> None:
    remember([SecretStr(VALUE)])
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(RedactFilter())
    logger = logging.Logger("test")
    logger.addHandler(handler)
    try:
        raise ValueError(f"refused {VALUE}")
    except ValueError:
        logger.exception("with %s", VALUE, stack_info=True)
    assert VALUE not in out.getvalue()
    assert f"with {MASK}" in out.getvalue()
    assert "Traceback" in out.getvalue()


def test_the_models_show_where_a_secret_is_and_not_what() -> None:
    reference = SecretRef(env="MY_KEY")
    reference.set_value(SecretStr(VALUE))
    for shown in (repr(reference), str(reference), str(reference.model_dump()), repr(reference.value)):
        assert VALUE not in shown
    assert reference.value.get_secret_value() == VALUE


def test_tracebacks_that_python_prints_are_masked_in_threads_too() -> None:
    code = f"""
import threading
from pydantic import SecretStr
from runner.config.secrets import install_excepthook, remember
remember([SecretStr({VALUE!r})])
install_excepthook()
def fail():
    raise ValueError("inside " + {VALUE!r})
thread = threading.Thread(target=fail)
thread.start()
thread.join()
fail()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count(f"inside {MASK}") == 2
    assert "hush" not in done.stderr
