"""Sugar in a browser: `python app.py` prints the address. `python app.py --help` lists the settings.

Each is a SUGAR_* variable too.
"""

import logging
import os
import sys

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
if "SPACE_ID" in os.environ:
    os.environ.setdefault("SUGAR_HOST", "0.0.0.0")

from sugar.errors import SugarError  # noqa: E402
from sugar.settings import Settings  # noqa: E402


def main() -> int:
    logging.basicConfig(format="%(asctime)s %(name)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("sugar").setLevel(logging.INFO)
    try:
        settings = Settings.read()
        from sugar.services.model_slot import open_slot
        from sugar.ui import build_app, launch

        models = open_slot(settings)
        launch(build_app(settings, models), settings)
    except SugarError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
