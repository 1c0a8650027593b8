package main_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// udpAddr is where a UDP entrypoint of weir listens.
func udpAddr(t *testing.T, w *weirtest.WeirProcess, entrypoint string) (host, port string) {
	t.Helper()
	var entrypoints []struct{ Name, Address string }
	w.JSON("/api/v1/entrypoints", &entrypoints)
	for _, e := range entrypoints {
		if e.Name == entrypoint {
			host, port, err := net.SplitHostPort(e.Address)
			if err != nil {
				t.Fatal(err)
			}
			return host, port
		}
	}
	t.Fatalf("no entrypoint %s in %v", entrypoint, entrypoints)
	return "", ""
}

// dnsConfig balances two servers of DNS; the last %s is further keys of the service.
const dnsConfig = `
accessLog: { path: %s }
entryPoints:
  dns: { address: "127.0.0.1:0/udp", udp: { timeout: 5s, maxSessionsPerSource: 10000 }, transport: { lifeCycle: { graceTimeOut: 0s } } }
udp:
  routers: { dns: { service: dns } }
  services:
    dns:
      loadBalancer:
        servers: [ { address: %q }, { address: %q } ]
        slowStart: 0s
        passiveHealthCheck: { maxFailedAttempts: 2, ejectionTime: 60s }
        healthCheck: { type: dns, name: www.weir.test, interval: 200ms, timeout: 5s, fall: 2, rise: 1 }
        %s
`

// dnsperfResult is what dnsperf counts.
type dnsperfResult struct{ sent, completed, lost int }

var dnsperfLine = regexp.MustCompile(`Queries (sent|completed|lost):\s+(\d+)`)

// dnsperf asks for names at a modest rate for some seconds, with clients that ask from ports of their own.
func dnsperf(t *testing.T, host, port string, seconds int) (r dnsperfResult) {
	t.Helper()
	names := filepath.Join(t.TempDir(), "names")
	if err := os.WriteFile(names, []byte("www.weir.test A\nmail.weir.test A\nwww.weir.test AAAA\nnobody.weir.test A\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := weirtest.Run(t, "dnsperf", "-s", host, "-p", port, "-d", names, "-l", strconv.Itoa(seconds), "-Q", "1000", "-c", "20", "-q", "200", "-t", "2")
	for _, m := range dnsperfLine.FindAllStringSubmatch(out, -1) {
		n, _ := strconv.Atoi(m[2])
		switch m[1] {
		case "sent":
			r.sent = n
		case "completed":
			r.completed = n
		case "lost":
			r.lost = n
		}
	}
	if r.sent < 1000 || r.sent != r.completed+r.lost {
		t.Fatalf("dnsperf counts %+v:\n%s", r, out)
	}
	if bad := regexp.MustCompile(`Response codes:.*(SERVFAIL|REFUSED|FORMERR)`).FindString(out); bad != "" {
		t.Errorf("dnsperf saw %s", bad)
	}
	return r
}

// TestDNSPerf kills one of two servers under load. What is lost is what was on its way to it until that was noticed, and
// later every query is answered.
func TestDNSPerf(t *testing.T) {
	zone := weirtest.DNSZone{Origin: "weir.test", Records: "www A 192.0.2.1\nwww AAAA 2001:db8::1\nmail A 192.0.2.2\n"}
	for _, tt := range []struct{ name, keys string }{
		{"flows", ""},
		{"flows that end with their answers", "responses: 1"},
		{"datagram by datagram", "affinity: none\n        protocol: dns"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			one, two := weirtest.BIND(t, zone), weirtest.Knot(t, zone)
			log := filepath.Join(t.TempDir(), "access.log")
			w := weirtest.Weir(t, fmt.Sprintf(dnsConfig, log, one.Addr, two.Addr, tt.keys))
			awaitUp(t, w, 2)
			host, port := udpAddr(t, w, "dns")
			if r := dnsperf(t, host, port, 2); r.lost != 0 {
				t.Errorf("with both servers: %+v", r)
			}
			const received = `weir_entrypoint_datagrams_received_total{entrypoint="dns"}`
			before := metrics(t, w)[received]
			killed := make(chan struct{})
			go func() { // in the middle of the load
				defer close(killed)
				weirtest.Eventually(t, soon, func() bool { return metrics(t, w)[received] >= before+2000 }, "2,000 queries have come")
				one.Kill()
			}()
			during := dnsperf(t, host, port, 6)
			<-killed
			if during.lost*4 > during.sent {
				t.Errorf("while a server dies: %+v", during)
			}
			after := dnsperf(t, host, port, 2)
			if after.lost != 0 {
				t.Errorf("afterwards: %+v", after)
			}
			t.Logf("lost while a server dies: %d of %d", during.lost, during.sent)
		})
	}
}

// awaitUp waits until n backends are up.
func awaitUp(t *testing.T, w *weirtest.WeirProcess, n int) {
	t.Helper()
	weirtest.Eventually(t, 30*time.Second, func() bool {
		var backends []struct{ Health string }
		w.JSON("/api/v1/backends", &backends)
		up := 0
		for _, b := range backends {
			if b.Health == "up" {
				up++
			}
		}
		return up == n
	}, fmt.Sprintf("%d backends are up", n))
}

// TestSIP has calls of SIP, each from a port of its own, led to two servers. A call whose messages went to both would
// fail: the other server knows no such dialogue.
func TestSIP(t *testing.T) {
	const calls = 60
	var servers [2]string
	for i := range servers {
		servers[i] = startSIPServer(t)
	}
	w := weirtest.Weir(t, fmt.Sprintf(`
entryPoints:
  sip: { address: "127.0.0.1:0/udp", udp: { timeout: 30s }, transport: { lifeCycle: { graceTimeOut: 0s } } }
udp:
  routers: { sip: { service: sip } }
  services:
    sip: { loadBalancer: { servers: [ { address: %q }, { address: %q } ], slowStart: 0s } }
`, servers[0], servers[1]))
	host, port := udpAddr(t, w, "sip")
	dir := t.TempDir()
	cmd := []string{"-c", `cd "$1" && exec "$2" -sn uac -nostdin -t un -max_socket 200 -m "$3" -r 20 -d 200 -timeout 60s -i 127.0.0.1 "$4"`,
		"sh", dir, weirtest.Tool(t, "sipp"), strconv.Itoa(calls), host + ":" + port}
	out, err := weirtest.TryRun(t, "sh", cmd...)
	if err != nil {
		t.Fatalf("sipp: %v\n%.4000s", err, out)
	}
	var services []struct {
		Name        string
		Connections int
		UDP         struct{ Moved int }
	}
	w.JSON("/api/v1/services", &services)
	// A port that a call has given back may be drawn for another one, which then is the same flow.
	if len(services) != 1 || services[0].Connections > calls || services[0].Connections < calls/2 || services[0].UDP.Moved != 0 {
		t.Errorf("the service counts %+v, want about %d flows and none moved", services, calls)
	}
	var backends []struct {
		Address     string
		Connections int
	}
	w.JSON("/api/v1/backends", &backends)
	for _, b := range backends {
		if b.Connections < calls/4 {
			t.Errorf("backend %s had %d flows of %d calls", b.Address, b.Connections, calls)
		}
	}
}

// startSIPServer starts a server that takes calls and returns its address.
func startSIPServer(t *testing.T) string {
	t.Helper()
	addr := weirtest.FreeAddr(t)
	host, port, _ := net.SplitHostPort(addr)
	weirtest.Start(t, "sipp", []string{"-sn", "uas", "-nostdin", "-i", host, "-p", port}, func() bool { return bound("udp", port) })
	return addr
}

// bound reports whether a socket that is not connected has a port of IPv4: one that listens, for TCP.
func bound(network, port string) bool {
	n, _ := strconv.Atoi(port)
	content, _ := os.ReadFile("/proc/net/" + network)
	return strings.Contains(string(content), fmt.Sprintf(":%04X 00000000:0000 ", n))
}

// TestIperf sends a stream of large datagrams; iperf3 talks about it over TCP, on the port of the same number.
func TestIperf(t *testing.T) {
	for name, direction := range map[string][]string{"up": nil, "down": {"--reverse"}} {
		t.Run(name, func(t *testing.T) { testIperf(t, direction) })
	}
}

// testIperf has a server of its own: between two tests that of iperf3 closes its socket, with whoever waits in it.
// A connection that only looks whether it listens would be a test.
func testIperf(t *testing.T, direction []string) {
	addr := weirtest.FreeAddr(t)
	host, port, _ := net.SplitHostPort(addr)
	weirtest.Start(t, "iperf3", []string{"--server", "--bind", host, "--port", port}, func() bool { return bound("tcp", port) })
	ours := weirtest.FreePort(t)
	w := weirtest.Weir(t, fmt.Sprintf(`
entryPoints:
  control: { address: "127.0.0.1:%[1]d" }
  stream:  { address: "127.0.0.1:%[1]d/udp", transport: { lifeCycle: { graceTimeOut: 0s } } }
tcp:
  routers: { control: { entryPoints: [control], rule: "HostSNI(`+"`*`"+`)", service: iperf } }
  services: { iperf: { loadBalancer: { servers: [ { address: %[2]q } ] } } }
udp:
  routers: { stream: { entryPoints: [stream], service: iperf } }
  services: { iperf: { loadBalancer: { servers: [ { address: %[2]q } ] } } }
`, ours, addr))
	out := weirtest.Run(t, "iperf3", append(direction,
		"--udp", "--client", "127.0.0.1", "--port", strconv.Itoa(ours), "--bitrate", "20M", "--time", "2", "--json")...)
	var result struct {
		Error string
		End   struct {
			Sum struct {
				Packets int
				Lost    int `json:"lost_packets"`
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &result); err != nil {
		t.Fatalf("iperf3: %v in %.2000s", err, out)
	}
	sum := result.End.Sum
	if result.Error != "" || sum.Packets < 50 || sum.Lost*2 > sum.Packets {
		t.Errorf("%d packets, %d lost; iperf3 says: %q", sum.Packets, sum.Lost, result.Error)
	}
	_, metrics := w.Get("/metrics")
	if !regexp.MustCompile(`(?m)^weir_entrypoint_datagrams_received_total\{entrypoint="stream"\} [1-9]`).MatchString(metrics) {
		t.Error("no datagram was counted")
	}
}

// TestSyslog has logger's messages dealt out to two collectors.
func TestSyslog(t *testing.T) {
	collected := make(chan string, 100)
	var servers [2]string
	for i := range servers {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		servers[i] = conn.LocalAddr().String()
		go func() {
			buf := make([]byte, 2048)
			for {
				n, _, err := conn.ReadFrom(buf)
				if err != nil {
					return
				}
				collected <- fmt.Sprint(i) + " " + string(buf[:n])
			}
		}()
	}
	w := weirtest.Weir(t, fmt.Sprintf(`
entryPoints:
  syslog: { address: "127.0.0.1:0/udp" }
udp:
  routers: { syslog: { service: collectors } }
  services:
    collectors: { loadBalancer: { affinity: none, protocol: oneWay, servers: [ { address: %q }, { address: %q } ], slowStart: 0s } }
`, servers[0], servers[1]))
	_, port := udpAddr(t, w, "syslog")
	const messages = 10
	got := map[string]int{}
	for i := range messages {
		text := fmt.Sprintf("message-%d", i)
		weirtest.Run(t, "logger", "--udp", "--server", "127.0.0.1", "--port", port, "--tag", "weir-test", text)
		select {
		case line := <-collected:
			if !strings.Contains(line, text) {
				t.Errorf("collected %q, want %s", line, text)
			}
			got[line[:1]]++
		case <-time.After(20 * time.Second):
			t.Fatalf("%s did not come", text)
		}
	}
	if got["0"] != messages/2 || got["1"] != messages/2 {
		t.Errorf("the collectors got %v, want %d each", got, messages/2)
	}
}
