# Sourced by the start scripts, not run.
#
# install_packages LOG PACKAGE...   installs the Debian packages that are missing,
# without starting the services that come with them. Needs root if one is missing.
install_packages() {
  local log=$1 missing=() package try policy=
  shift
  for package; do
    dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed' ||
      missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || { say "missing: ${missing[*]}; run as root once to install them"; return 1; }
  say "installing: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # Their services would use the directories of a real installation.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    policy=/usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy
  fi
  for try in 1 2 3; do
    { apt-get update && dpkg --configure -a && apt-get -y -f install &&
      apt-get -y -o DPkg::Lock::Timeout=120 --no-install-recommends install "$@"; } >"$log" 2>&1 && break
    [ "$try" -lt 3 ] || { tail -n 5 "$log" >&2; return 1; }
    sleep 5
  done
  [ -z "$policy" ] || { rm -f $policy; trap - EXIT; }
}
