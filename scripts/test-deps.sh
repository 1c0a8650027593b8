#!/bin/sh
# Installs what weir's tests and benchmarks start: databases, name servers, rival proxies, load tools.
# As root on Debian it installs what is missing and prints it; otherwise it lists what is missing and exits 1.
set -eu

# package<TAB>file or program that shows it is there. A file may be a pattern.
needs='postgresql	/usr/lib/postgresql/*/bin/postgres
postgresql-client	psql
mariadb-server	mariadbd
mariadb-client	mariadb
redis-server	redis-server
redis-tools	redis-benchmark
nginx	nginx
chromium	chromium
nodejs	node
varnish	varnishtest
slowhttptest	slowhttptest
nghttp2-client	h2load
libnginx-mod-stream	/usr/lib/nginx/modules/ngx_stream_module.so
haproxy	haproxy
bind9	named
bind9-dnsutils	nsupdate
knot	knotd
nsd	nsd
unbound	unbound
dnsmasq-base	dnsmasq
wrk	wrk
dnsperf	dnsperf
sip-tester	sipp
iperf3	iperf3
curl	curl
fonts-dejavu-core	/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf
openssl	openssl
socat	socat
netcat-openbsd	/bin/nc.openbsd
iproute2	ip
nftables	nft
strace	strace
procps	ps
gcc	gcc
libc6-dev	/usr/include/stdio.h
ca-certificates	/etc/ssl/certs/ca-certificates.crt'

PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

present() {
	case $1 in
	/*)
		# Unquoted, so that a pattern finds its file.
		for file in $1; do
			[ -e "$file" ] && return 0
		done
		return 1
		;;
	*) command -v "$1" >/dev/null 2>&1 ;;
	esac
}

missing() {
	printf '%s\n' "$needs" | while IFS='	' read -r package sign; do
		present "$sign" || printf '%s\n' "$package"
	done
}

policy=/usr/sbin/policy-rc.d
saved=

# Debian starts a server the moment it is installed; the tests start their own, so a policy refuses all of that meanwhile.
forbid_services() {
	if [ -e "$policy" ] || [ -L "$policy" ]; then
		saved=$(mktemp -d)
		mv "$policy" "$saved/policy-rc.d"
	fi
	trap restore_services EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
}

restore_services() {
	rm -f "$policy"
	if [ -n "$saved" ]; then
		mv "$saved/policy-rc.d" "$policy"
		rmdir "$saved"
	fi
}

packages=$(missing | tr '\n' ' ')
packages=${packages% }
if [ -z "$packages" ]; then
	echo "test-deps: everything is installed"
	exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "test-deps: missing: $packages" >&2
	echo "test-deps: run as root on Debian: apt-get install --no-install-recommends $packages" >&2
	exit 1
fi

# One at a time: a second run would take the first one's policy for the machine's own and leave it behind.
exec 9>/run/lock/weir-test-deps
flock 9

echo "test-deps: installing: $packages"
forbid_services
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# Unquoted: a list of package names.
# shellcheck disable=SC2086
apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends $packages

left=$(missing | tr '\n' ' ')
if [ -n "$left" ]; then
	echo "test-deps: still missing after the installation: $left" >&2
	exit 1
fi
echo "test-deps: installed: $packages"
