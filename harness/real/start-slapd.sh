#!/usr/bin/env bash
# Start a real OpenLDAP (Debian's slapd) on one loopback address with N users, for
# integration and load tests. Needs no root (only to install packages).
#
#   start-slapd.sh DIR [N]           first time: make the data (N users, default 1000)
#   . DIR/env                        afterwards: the variables a test needs
#   stop-slapd.sh DIR                stop it; 'rm -rf DIR' forgets the data
#
# Safe to run twice: the data in DIR is reused (its N and hash stay), a running
# server is left alone. Every password below is for tests only.
#
# Settings, all optional:
#   SLAPD_IP=127.0.0.21  SLAPD_PORT=3890  SLAPD_TLS_PORT=6360
#   SLAPD_BASE=dc=slapd,dc=example,dc=test
#   SLAPD_HASH=SSHA       SSHA, ARGON2 or CLEAR: how userPassword is stored
#   SLAPD_THREADS=16
# Users: uid=user00001..,ou=people (no password policy) and in ou=fixture, under
# a ppolicy (lockout after 3, history 5, minimum length 8): alice, bob, carol,
# u.utf8, locked, mustchange, pwexpired, pwgrace (expired, with binds left), and svc
# (may read all of it).
set -euo pipefail

[ $# -ge 1 ] && [ $# -le 2 ] || { echo "usage: $0 DIR [N]" >&2; exit 2; }
HERE=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"; DIR=$(cd "$1" && pwd); N=${2:-1000}
# Parts of DIR get deleted below: take only a directory that was empty once.
if [ ! -e "$DIR/.test-slapd" ] && [ -n "$(ls -A "$DIR")" ]; then
  echo "$DIR is not empty and not made by this script" >&2; exit 2
fi
touch "$DIR/.test-slapd"
SLAPD_IP=${SLAPD_IP:-127.0.0.21}
SLAPD_PORT=${SLAPD_PORT:-3890}
SLAPD_TLS_PORT=${SLAPD_TLS_PORT:-6360}
BASE=${SLAPD_BASE:-dc=slapd,dc=example,dc=test}
SLAPD_HASH=${SLAPD_HASH:-SSHA}
SLAPD_THREADS=${SLAPD_THREADS:-16}
ADMIN_DN=cn=admin,$BASE
ADMIN_PW='Adm1n-Test-Passw0rd'
USER_PW='Fixture-Passw0rd-1'
UTF8_PW='Pässwörd-密码-🔑-1'
LOCKOUT_THRESHOLD=3
HOST=slapd.example.test
case $SLAPD_IP in 127.*) ;; *) echo "SLAPD_IP must be a loopback address" >&2; exit 2;; esac
say() { echo "slapd: $*" >&2; }
PATH=$PATH:/usr/sbin

# --- 1. packages --------------------------------------------------------------
. "$HERE/packages.sh"
install_packages "$DIR/apt.log" slapd ldap-utils openssl

# --- 2. certificate with a subjectAltName -------------------------------------
mkdir -p "$DIR"/{tls,run}
if [ ! -s "$DIR/tls/server.pem" ]; then
  ( cd "$DIR/tls"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
      -keyout ca.key -out ca.pem -subj "/CN=slapd test CA" \
      -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
      -keyout server.key -out server.csr -subj "/CN=$HOST"
    printf 'subjectAltName=DNS:%s,IP:%s\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n' \
      "$HOST" "$SLAPD_IP" >server.ext
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 \
      -extfile server.ext -out server.pem ) >"$DIR/tls.log" 2>&1
fi

# --- 3. configuration ---------------------------------------------------------
cat >"$DIR/slapd.conf" <<EOF
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
moduleload memberof
moduleload argon2
pidfile $DIR/run/slapd.pid
argsfile $DIR/run/slapd.args
threads $SLAPD_THREADS
sizelimit 500
TLSCACertificateFile $DIR/tls/ca.pem
TLSCertificateFile $DIR/tls/server.pem
TLSCertificateKeyFile $DIR/tls/server.key
access to attrs=userPassword
	by dn.exact="uid=svc,ou=fixture,$BASE" write
	by self write
	by anonymous auth
	by * none
access to * by users read by * none
database mdb
suffix "$BASE"
rootdn "$ADMIN_DN"
rootpw $ADMIN_PW
directory $DIR/data
maxsize 1073741824
index objectClass,uid,mail,entryUUID,entryCSN,member eq
# svc may page through everything
limits dn.exact="uid=svc,ou=fixture,$BASE" size.soft=500 size.hard=unlimited size.prtotal=unlimited
overlay memberof
overlay ppolicy
ppolicy_use_lockout
EOF

# --- 4. data ------------------------------------------------------------------
if [ ! -e "$DIR/.loaded" ]; then
  rm -rf "${DIR:?}/data"; mkdir -p "$DIR/data"
  hashed() {
    case $SLAPD_HASH in
      CLEAR) printf '%s' "$1";;
      SSHA) slappasswd -h '{SSHA}' -s "$1";;
      ARGON2) slappasswd -o module-path=/usr/lib/ldap -o module-load=argon2 -h '{ARGON2}' -s "$1";;
      *) say "SLAPD_HASH must be SSHA, ARGON2 or CLEAR"; exit 2;;
    esac
  }
  # One hash for all users: making 10,000 of them would only take time here, and
  # checking one costs the server the same.
  H=$(hashed "$USER_PW")
  say "loading $N users ($SLAPD_HASH)"
  dc=${BASE%%,*}; dc=${dc#dc=}
  { printf 'dn: %s\nobjectClass: dcObject\nobjectClass: organization\no: test\ndc: %s\n\n' "$BASE" "$dc"
    for ou in people fixture groups policies; do printf 'dn: ou=%s,%s\nobjectClass: organizationalUnit\nou: %s\n\n' $ou "$BASE" $ou; done
    cat <<EOF
dn: cn=default,ou=policies,$BASE
objectClass: device
objectClass: pwdPolicy
cn: default
pwdAttribute: userPassword
pwdMinLength: 8
pwdCheckQuality: 1
pwdInHistory: 5
pwdLockout: TRUE
pwdMaxFailure: $LOCKOUT_THRESHOLD
pwdLockoutDuration: 1800
pwdFailureCountInterval: 1800
pwdMustChange: TRUE
pwdAllowUserChange: TRUE

dn: cn=expiring,ou=policies,$BASE
objectClass: device
objectClass: pwdPolicy
cn: expiring
pwdAttribute: userPassword
pwdMaxAge: 1
pwdGraceAuthNLimit: 0

dn: cn=grace,ou=policies,$BASE
objectClass: device
objectClass: pwdPolicy
cn: grace
pwdAttribute: userPassword
pwdMaxAge: 1
pwdGraceAuthNLimit: 100000

EOF
    fx() { printf 'dn: uid=%s,ou=fixture,%s\nobjectClass: inetOrgPerson\nuid: %s\ncn: %s Fixture\nsn: Fixture\nmail: %s@slapd.example.test\nuserPassword: %s\npwdPolicySubentry: cn=%s,ou=policies,%s\n' "$1" "$BASE" "$1" "$1" "$1" "$H" "$2" "$BASE"
           shift 2; for l; do printf '%s\n' "$l"; done; printf '\n'; }
    for u in alice bob carol svc; do fx $u default; done
    # base64, since a password in the clear is no ASCII
    fx u.utf8 default | sed "s|^userPassword: .*|userPassword:: $(hashed "$UTF8_PW" | base64 -w0)|"
    fx locked default "pwdAccountLockedTime: 000001010000Z"
    fx mustchange default "pwdReset: TRUE"
    fx pwexpired expiring "pwdChangedTime: 20170101000000Z"
    fx pwgrace grace "pwdChangedTime: 20170101000000Z"
    awk -v n="$N" -v b="$BASE" -v h="$H" 'BEGIN{for(i=1;i<=n;i++){u=sprintf("user%05d",i);
      printf "dn: uid=%s,ou=people,%s\nobjectClass: inetOrgPerson\nuid: %s\ncn: %s\nsn: Test\nmail: %s@slapd.example.test\nuserPassword: %s\n\n",u,b,u,u,u,h}}'
    printf 'dn: cn=g1,ou=groups,%s\nobjectClass: groupOfNames\ncn: g1\nmember: uid=alice,ou=fixture,%s\nmember: uid=svc,ou=fixture,%s\n\n' "$BASE" "$BASE" "$BASE"
  } >"$DIR/data.ldif"
  slapadd -q -f "$DIR/slapd.conf" -l "$DIR/data.ldif" >"$DIR/slapadd.log" 2>&1 || { tail -n 5 "$DIR/slapadd.log" >&2; exit 1; }
  echo "$N $SLAPD_HASH" >"$DIR/.loaded"
fi

# --- 5. start -----------------------------------------------------------------
export LDAPTLS_CACERT=$DIR/tls/ca.pem LDAPCONF=/dev/null
if [ -s "$DIR/run/slapd.pid" ] && tr '\0' ' ' <"/proc/$(cat "$DIR/run/slapd.pid")/cmdline" 2>/dev/null | grep -qF "$DIR/slapd.conf"; then
  say "already running (pid $(cat "$DIR/run/slapd.pid"))"
else
  if (exec 3<>"/dev/tcp/$SLAPD_IP/$SLAPD_PORT") 2>/dev/null; then
    say "something else already listens on $SLAPD_IP:$SLAPD_PORT"; exit 1
  fi
  # slapd goes to the background by itself and writes its pid file
  slapd -f "$DIR/slapd.conf" -h "ldap://$SLAPD_IP:$SLAPD_PORT ldaps://$SLAPD_IP:$SLAPD_TLS_PORT"
fi
for url in "ldap://$SLAPD_IP:$SLAPD_PORT" "ldaps://$SLAPD_IP:$SLAPD_TLS_PORT"; do
  for i in $(seq 100); do
    ldapwhoami -x -o nettimeout=2 -H "$url" -D "$ADMIN_DN" -w "$ADMIN_PW" >/dev/null 2>&1 && break
    [ "$i" -lt 100 ] || { say "$url does not answer"; exit 1; }; sleep 0.1; done
done

# --- 6. what a test needs -----------------------------------------------------
cat >"$DIR/env" <<EOF
export SLAPD_LDAP_URL='ldap://$SLAPD_IP:$SLAPD_PORT'
export SLAPD_LDAPS_URL='ldaps://$SLAPD_IP:$SLAPD_TLS_PORT'
export SLAPD_HOSTNAME='$HOST'
export SLAPD_BASE_DN='$BASE'
export SLAPD_PEOPLE_DN='ou=people,$BASE'
export SLAPD_USERS='$(cut -d' ' -f1 "$DIR/.loaded")'
export SLAPD_HASH='$(cut -d' ' -f2 "$DIR/.loaded")'
export SLAPD_ADMIN_DN='$ADMIN_DN'
export SLAPD_ADMIN_PASSWORD='$ADMIN_PW'
export SLAPD_USER_PASSWORD='$USER_PW'
export SLAPD_UTF8_USER_PASSWORD='$UTF8_PW'
export SLAPD_LOCKOUT_THRESHOLD='$LOCKOUT_THRESHOLD'
export SLAPD_CA_FILE='$DIR/tls/ca.pem'
export SLAPD_PID_FILE='$DIR/run/slapd.pid'
EOF
cat "$DIR/env"
