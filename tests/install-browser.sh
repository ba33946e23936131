#!/bin/sh
# The browser tests drive Debian's Chromium. Install it when it is missing and we may; else say so: those tests are skipped loudly.
command -v chromium >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "Installing chromium for the browser tests…"
  (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-noto-color-emoji fonts-ipafont-gothic) >/dev/null 2>&1 && exit 0
fi
echo "NOTE: no chromium and no right to install it: the browser tests will be SKIPPED."
