package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/weirlb/weir/bench/proc"
)

// crew is the weirs of one cluster, or one on its own, and the backends of
// the one service that all of them have.
type crew struct {
	weir    string // the program
	dir     string
	spec    crewSpec
	nodes   []*node
	origins []*origin
	log     *chronicle
	began   int // where in the log it was complete
}

// crewSpec says how large it is and how it probes.
type crewSpec struct {
	nodes, origins    int
	interval, timeout time.Duration // of probes
}

// node is a weir.
type node struct {
	name                   string
	admin, gossip, listens string
	p                      *proc.Process // nil: it does not run
	heard                  chan struct{} // closed when all that it logged has been heard
}

const (
	// crewLimit is how long a crew may take to be complete, or a node to come
	// back.
	crewLimit = 60 * time.Second
	// calmLimit is how long it is then given to come to rest.
	calmLimit = 30 * time.Second
)

// crewConfig is a node's configuration. All that is not said is left as it
// is by default: three failed probes in a row take a backend down where one
// balancer has to find out for itself, half a second apart.
const crewConfig = `log: { level: info, format: json }
admin: { address: "{{.Node.Admin}}" }
entryPoints: { bench: { address: "{{.Node.Listens}}" } }
{{- if gt (len .Nodes) 1}}
cluster:
  name: bench
  node: {{.Node.Name}}
  bind: "{{.Node.Gossip}}"
  stateFile: "{{.Dir}}/{{.Node.Name}}.json"
  join:
{{- range .Nodes}}
    - "{{.Gossip}}"
{{- end}}
{{- end}}
tcp:
  routers: { all: { entryPoints: [bench], rule: "HostSNI(` + "`*`" + `)", service: origin } }
  services:
    origin:
      loadBalancer:
        # A client is always sent to the same backend, so that it is known
        # beforehand which one that is.
        strategy: maglev
        hashKey: sourceIP
        slowStart: 0s
        healthCheck: { interval: {{.Interval}}, timeout: {{.Timeout}} }
        servers:
{{- range .Origins}}
          - { address: "{{.}}" }
{{- end}}
`

// newCrew starts a crew, and returns when all nodes know each other and have
// found all backends up. The error carries what the nodes said last.
func newCrew(ctx context.Context, weir, dir string, spec crewSpec) (*crew, error) {
	c := &crew{weir: weir, dir: dir, spec: spec, log: newChronicle()}
	if err := c.begin(ctx); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

func (c *crew) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, crewLimit)
	defer cancel()
	var err error
	if c.origins, err = newOrigins(c.spec.origins); err != nil {
		return err
	}
	for i := range c.spec.nodes {
		n := &node{name: fmt.Sprintf("lb-%d", i+1)}
		if err := c.house(n); err != nil {
			return err
		}
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		if err := c.write(n); err != nil {
			return err
		}
		if err := c.start(n); err != nil {
			return err
		}
	}
	names, addrs := c.names(), c.addrs()
	if _, err := c.hear(ctx, 0, tale{memberThere, names, names}); err != nil {
		return err
	}
	if _, err := c.hear(ctx, 0, tale{backendUp, names, addrs}); err != nil {
		return err
	}
	for _, n := range c.nodes {
		if err := c.ready(ctx, n); err != nil {
			return err
		}
	}
	c.calm(ctx)
	c.began = c.log.mark()
	return ctx.Err()
}

// house gives a node its addresses, of which no two are the same.
func (c *crew) house(n *node) error {
	for _, addr := range []*string{&n.admin, &n.gossip, &n.listens} {
		for *addr == "" {
			found, err := freeAddr("tcp", "127.0.0.1")
			if err != nil {
				return err
			}
			taken := slices.ContainsFunc(append(c.nodes, n), func(o *node) bool {
				return slices.Contains([]string{o.admin, o.gossip, o.listens}, found)
			})
			if !taken && free("udp", found) == nil { // nodes talk by both
				*addr = found
			}
		}
	}
	return nil
}

// write makes a node's configuration.
func (c *crew) write(n *node) error {
	type place struct{ Name, Admin, Gossip, Listens string }
	data := struct {
		Node              place
		Nodes             []place
		Dir               string
		Origins           []string
		Interval, Timeout time.Duration
	}{Dir: c.dir, Origins: c.addrs(), Interval: c.spec.interval, Timeout: c.spec.timeout}
	for _, o := range c.nodes {
		at := place{o.name, o.admin, o.gossip, o.listens}
		data.Nodes = append(data.Nodes, at)
		if o == n {
			data.Node = at
		}
	}
	t, err := template.New("").Parse(crewConfig)
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		return err
	}
	return os.WriteFile(c.file(n, ".yaml"), []byte(b.String()), 0o600)
}

func (c *crew) file(n *node, kind string) string { return filepath.Join(c.dir, n.name+kind) }

// start runs a node.
func (c *crew) start(n *node) error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", n.name, err)
	}
	n.p, err = proc.Start(proc.Command{
		Path: c.weir, Args: []string{"run", "-c", c.file(n, ".yaml")}, Dir: c.dir, CPU: proc.Anywhere,
		Log: c.file(n, ".out"), Errors: w,
	})
	if err != nil {
		r.Close()
		return err
	}
	heard := make(chan struct{})
	n.heard = heard
	go func() {
		defer close(heard)
		defer r.Close()
		c.log.listen(n.name, r)
	}()
	return nil
}

// ready waits until a node wants traffic.
func (c *crew) ready(ctx context.Context, n *node) error {
	b := balancer{name: n.name, ready: "http://" + n.admin + "/readyz"}
	if err := b.await(ctx, n.p, site{}); err != nil {
		select {
		case <-n.p.Done():
			<-n.heard
		default:
		}
		return fmt.Errorf("%s: %w; its log ends:\n%s", n.name, err, indent(c.log.last(n.name, 10)))
	}
	return nil
}

// calm waits until no node doubts itself or another, as those do that have
// just started, or answer slowly. On a busy machine that may never come to
// be, and is given up.
func (c *crew) calm(ctx context.Context) {
	c.until(ctx, func(s standing) bool {
		return s.Settled && s.Awareness == 0 && !slices.ContainsFunc(s.Members, func(m memberStanding) bool {
			return m.State == "alive" && (m.Doubt != "" || m.Distrusted)
		})
	})
}

// hush waits until no node has anything left to tell.
func (c *crew) hush(ctx context.Context) {
	c.until(ctx, func(s standing) bool { return s.GossipQueue == 0 })
}

// until waits until something holds of all nodes, or for long enough.
func (c *crew) until(ctx context.Context, holds func(standing) bool) {
	ctx, cancel := context.WithTimeout(ctx, calmLimit)
	defer cancel()
	for !c.all(ctx, holds) {
		if pause(ctx, 50*time.Millisecond) != nil {
			return
		}
	}
}

func (c *crew) all(ctx context.Context, holds func(standing) bool) bool {
	if len(c.nodes) == 1 {
		return true
	}
	for _, n := range c.nodes {
		if n.p == nil {
			continue
		}
		if s, err := n.standing(ctx); err != nil || !holds(s) {
			return false
		}
	}
	return true
}

// hear waits for lines after a mark. The error says of the first line that
// is missing why, as far as the node knows itself.
func (c *crew) hear(ctx context.Context, mark int, t tale) ([]entry, error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	for _, n := range c.nodes {
		if p, heard := n.p, n.heard; p != nil && slices.Contains(t.nodes, n.name) {
			go func() {
				select {
				case <-p.Done():
					<-heard
					end(fmt.Errorf("%s has ended (%v)", n.name, p.Err()))
				case <-ctx.Done():
				}
			}()
		}
	}
	heard, err := c.log.hear(ctx, mark, t)
	var late *lateness
	if errors.As(err, &late) {
		m := late.lines[0]
		err = fmt.Errorf("%w; %s\nits log ends:\n%s", err, c.opinion(m), indent(c.log.last(m.node, 10)))
	}
	return heard, err
}

// opinion is what a node thinks of a backend, in JSON.
func (c *crew) opinion(m missing) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var all []json.RawMessage
	for _, n := range c.nodes {
		if n.name != m.node {
			continue
		}
		if err := n.get(ctx, "/api/v1/backends", &all); err != nil {
			return err.Error()
		}
	}
	for _, one := range all {
		if strings.Contains(string(one), `"`+m.subject+`"`) {
			return string(one)
		}
	}
	return m.node + " knows no backend " + m.subject
}

// names are those of the nodes that run.
func (c *crew) names() []string {
	var names []string
	for _, n := range c.nodes {
		if n.p != nil {
			names = append(names, n.name)
		}
	}
	return names
}

func (c *crew) addrs() []string {
	var addrs []string
	for _, o := range c.origins {
		addrs = append(addrs, o.addr)
	}
	return addrs
}

// kill ends a node as a crash does, and returns the moment before.
func (c *crew) kill(n *node) time.Time {
	at := time.Now()
	c.log.add(entry{At: at, Message: killed, Member: n.name})
	n.p.Kill()
	n.p = nil
	return at
}

// revive starts a node again that was killed, and returns when it wants
// traffic and the others know that it is there.
func (c *crew) revive(ctx context.Context, n *node) error {
	ctx, cancel := context.WithTimeout(ctx, crewLimit)
	defer cancel()
	mark, others := c.log.mark(), c.names()
	if err := c.start(n); err != nil {
		return err
	}
	if _, err := c.hear(ctx, mark, tale{memberThere, others, []string{n.name}}); err != nil {
		return err
	}
	if err := c.ready(ctx, n); err != nil {
		return err
	}
	c.calm(ctx)
	return ctx.Err()
}

// stop ends everything. Nobody measures how nodes say goodbye, so they do
// not get to.
func (c *crew) stop() {
	for _, n := range c.nodes {
		if n.p != nil {
			n.p.Kill()
			n.p = nil
		}
	}
	closeOrigins(c.origins)
}

// odd returns what nodes have logged since the crew was complete and should
// not have: that something is gone that nobody has killed, that a backend is
// back, and errors.
func (c *crew) odd() []string {
	entries, _ := c.log.since(c.began)
	var odd []string
	kills := make(map[string]int)
	deaths := make(map[missing]int) // that a node has been right about
	for _, e := range entries {
		m := missing{e.Node, e.about()}
		wrong := e.At.IsZero() || e.Level == "ERROR"
		switch e.Message {
		case killed:
			kills[m.subject]++
		case backendDown, memberGone:
			if wrong = deaths[m] >= kills[m.subject]; !wrong {
				deaths[m]++
			}
		case backendUp: // as those also say that have just started
			wrong = deaths[m] > 0
		}
		if wrong {
			odd = append(odd, e.Node+": "+e.text)
		}
	}
	return odd
}

// standing is what a node says of the cluster.
type standing struct {
	Settled     bool             `json:"settled"`
	Awareness   int              `json:"awareness"`
	GossipQueue int              `json:"gossipQueue"` // packets
	Members     []memberStanding `json:"members"`
	Sent        traffic          `json:"sent"`
}

// memberStanding is what it says of one node.
type memberStanding struct {
	State      string `json:"state"`
	Doubt      string `json:"doubt"`
	Distrusted bool   `json:"distrusted"`
}

// traffic is what a node has sent to the others since it started.
type traffic struct {
	Packets     uint64 `json:"packets"`
	PacketBytes uint64 `json:"packetBytes"`
	Streams     uint64 `json:"streams"`
	StreamBytes uint64 `json:"streamBytes"`
}

func (n *node) standing(ctx context.Context) (standing, error) {
	var s standing
	return s, n.get(ctx, "/api/v1/cluster", &s)
}

// get asks a node's admin API.
func (n *node) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.admin+path, nil)
	if err != nil {
		return err
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s of %s: %s", path, n.name, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(into)
}
