package cluster

import (
	"slices"
	"time"
)

const (
	// dueMost and dueLeast bound how often a backend is judged when nothing is news: four times in an interval of its probes.
	dueMost  = time.Second
	dueLeast = 100 * time.Millisecond
	// assessInterval is how often the jury doubts itself and others.
	assessInterval = 250 * time.Millisecond
)

// Sight is what a node sees of a backend by itself, at one moment.
type Sight struct {
	Evidence
	Late    time.Duration // by how much the last probe began after its time
	Drained bool          // by an operator
	Out     bool          // it gets no connections for another reason than the verdict: ejected, or without weight
}

// Subject is a backend that a jury judges.
type Subject struct {
	ID    BackendID
	Spec  uint64       // of its probe; see SpecOf
	State State        // what is known of it before the jury has judged it
	Look  func() Sight // what this node has seen; Judge calls it and nobody else does
}

// Duty is whether a node probes a backend regularly, and when among those who do.
type Duty struct {
	On   bool
	Rank int // from 0
	Of   int // how many probe
}

// Statement is what a node tells the others of a backend; Gone takes it back.
type Statement struct {
	Key  Key
	Gone bool
	Report
}

// Ruling is a verdict that was reached, or a duty that was given.
type Ruling struct {
	Key     Key
	Verdict Verdict
	Was     State
	Duty    Duty
	Look    bool // the node should probe once itself, soon
}

// Findings is what comes of a session of the jury.
type Findings struct {
	Rulings    []Ruling // on all backends that were judged
	Statements []Statement
	Doubt      Doubt           // of this node's own judgement
	Distrust   map[string]bool // members about whom the opinion has changed
}

// Jury reaches this node's verdicts: it brings together what the node sees, what the others say and who has duty, and remembers
// what each verdict needs for the next. It opens no socket and reads no clock. It is not safe for concurrent use.
type Jury struct {
	self     string
	members  []string // whose duties are dealt out
	pools    map[string]*juryPool
	subjects map[Key]*subject
	recalled []Statement // of subjects that have gone

	trust      Trust
	confidence Confidence
	doubt      Doubt
	assessed   time.Time
	distrusted map[string]bool
	wrong      uint64
}

// juryPool is the subjects of one pool.
type juryPool struct {
	options  Options
	subjects []*subject
	state    Pool
	counted  time.Time // when state was last counted anew: in each session
}

// subject is a Subject and what the jury remembers of it.
type subject struct {
	Subject
	key      Key
	pool     *juryPool
	verdict  Verdict
	probers  []string // in order of rank
	duty     Duty
	since    time.Time // when duty began
	sight    Sight
	failing  time.Time // since when its probes fail; zero: they do not
	compared time.Time // the last probe that others could be compared with
	turned   time.Time // since when probes end as that did
	failed   bool      // how
	rumour   bool      // another says that it is down
	heard    time.Time // the last session about it
	due      time.Time
	said     Report
	spoke    bool // said has been published
}

// NewJury returns the jury of a node, without subjects.
func NewJury(self string) *Jury {
	return &Jury{self: self, pools: map[string]*juryPool{}, subjects: map[Key]*subject{}, distrusted: map[string]bool{}}
}

// Seat gives the jury the subjects of a pool in place of those it had, none to end it. Subjects that stay keep their verdicts, also
// when they are probed in another way than before.
func (j *Jury) Seat(pool string, o Options, subjects []Subject) {
	p := &juryPool{options: o.withDefaults()}
	known := map[BackendID]*subject{}
	if old := j.pools[pool]; old != nil {
		for _, s := range old.subjects {
			known[s.ID] = s
		}
	}
	for _, n := range subjects {
		key := HealthKey(n.ID, n.Spec)
		s := known[n.ID]
		delete(known, n.ID)
		switch {
		case s == nil:
			s = &subject{key: key, verdict: Verdict{State: n.State}}
		case s.key != key:
			j.dismiss(s)
			s = &subject{key: key, verdict: s.verdict}
		}
		s.Subject, s.pool, s.probers = n, p, Probers(n.ID, j.members, DefaultProbers)
		s.due = time.Time{}
		p.subjects = append(p.subjects, s)
		j.subjects[key] = s
	}
	for _, s := range known {
		j.dismiss(s)
	}
	if delete(j.pools, pool); len(p.subjects) > 0 {
		j.pools[pool] = p
	}
}

// dismiss takes back what was said of a subject.
func (j *Jury) dismiss(s *subject) {
	delete(j.subjects, s.key)
	if s.spoke {
		j.recalled = append(j.recalled, Statement{Key: s.key, Gone: true})
	}
}

// Judge holds a session: about the subjects whose keys are named, and those whose time has come. score is the membership
// layer's, of how slowly this node answers.
func (j *Jury) Judge(t *Table, m Members, named []Key, score int, now time.Time) Findings {
	if names := m.Names(); !slices.Equal(names, j.members) {
		j.deal(names)
	}
	f := Findings{Statements: j.recalled}
	j.recalled = nil
	for _, s := range j.docket(named, now) {
		s.pool.count(now)
		f.Rulings = append(f.Rulings, j.hear(s, t, m, now))
		if said, news := s.statement(now); news {
			f.Statements = append(f.Statements, said)
		}
	}
	if now.Sub(j.assessed) >= assessInterval {
		j.assessed = now
		j.assess(score, now)
		f.Distrust = j.suspect(m, now)
	}
	f.Doubt = j.doubt
	return f
}

// statement returns what the others should hear of a subject, if they do not know. Doubts are not in it: beacons say them of
// everything at once.
func (s *subject) statement(now time.Time) (said Statement, news bool) {
	r := s.sight.Report(Sure, s.pool.options, now)
	switch worth := s.worth(r, now); {
	case worth && (!s.spoke || r.Differs(s.said)):
		s.said, s.spoke = r, true
		return Statement{Key: s.key, Report: r}, true
	case !worth && s.spoke:
		s.spoke = false
		return Statement{Key: s.key, Gone: true}, true
	}
	return Statement{}, false
}

// worth reports whether the others need to hear a report: of who has duty always, of who has none only that the backend fails, if it
// is the first to see that, or the majority of those with duty does not say so after a while. Else each death would be told by all
// to all, which is more than gossip carries.
func (s *subject) worth(r Report, now time.Time) bool {
	switch {
	case s.duty.On:
		return r.Age >= 0 || r.State == Down
	case r.State != Down:
		return false
	case s.spoke && s.said.State == Down || !s.rumour:
		return true
	}
	lasts := !s.failing.IsZero() && now.Sub(s.failing) >= s.pool.options.Interval/4
	return lasts && s.verdict.Down < s.verdict.Quorum
}

// docket returns the subjects of a session, each once.
func (j *Jury) docket(named []Key, now time.Time) []*subject {
	var docket []*subject
	add := func(s *subject) {
		s.heard, s.due = now, now.Add(min(max(s.pool.options.Interval/4, dueLeast), dueMost))
		docket = append(docket, s)
	}
	for _, key := range named {
		if s := j.subjects[key]; s != nil && !s.heard.Equal(now) {
			add(s)
		}
	}
	for _, p := range j.pools {
		for _, s := range p.subjects {
			if !now.Before(s.due) {
				add(s)
			}
		}
	}
	return docket
}

// deal gives the members their duties.
func (j *Jury) deal(members []string) {
	j.members = members
	for _, s := range j.subjects {
		s.probers = Probers(s.ID, members, DefaultProbers)
		s.due = time.Time{}
	}
}

// count counts who may be used, once in a session.
func (p *juryPool) count(now time.Time) {
	if p.counted.Equal(now) {
		return
	}
	p.counted, p.state = now, Pool{Total: len(p.subjects)}
	for _, s := range p.subjects {
		if s.usable() {
			p.state.Usable++
		}
	}
}

func (s *subject) usable() bool { return s.verdict.State != Down && !s.sight.Drained && !s.sight.Out }

// hear reaches the verdict on one subject.
func (j *Jury) hear(s *subject, t *Table, m Members, now time.Time) Ruling {
	was := s.usable()
	s.sight = s.Look()
	votes := t.Votes(s.key)
	s.rumour = slices.ContainsFunc(votes, func(v Vote) bool { return v.State == Down && m[v.Observer].stands(v.Boot, now) })
	s.serve(j.dutyOf(s, votes, m, now), now)
	if s.steady() {
		j.wrong += uint64(j.trust.Compare(s.sight.Evidence, votes, m, s.pool.options, now))
	}
	c := Case{
		Last: s.verdict, Own: s.sight.Evidence, Votes: votes, Members: m, Probers: s.probers, Pool: s.pool.state,
		Drained: s.sight.Drained,
	}
	state := s.verdict.State
	s.verdict = Decide(c, s.pool.options, now)
	switch is := s.usable(); {
	case was && !is:
		s.pool.state.Usable--
	case is && !was:
		s.pool.state.Usable++
	}
	return Ruling{Key: s.key, Verdict: s.verdict, Was: state, Duty: s.duty, Look: s.verdict.Verify}
}

// dutyOf says whether this node probes a subject: it is one of its probers, or none of them has anything to say that it may believe,
// since they do not know the backend, or probe it in another way, or have been found wrong too often.
func (j *Jury) dutyOf(s *subject, votes []Vote, m Members, now time.Time) Duty {
	d := Duty{Rank: slices.Index(s.probers, j.self), Of: len(s.probers)}
	if d.Rank >= 0 {
		d.On = true
		return d
	}
	served := slices.ContainsFunc(votes, func(v Vote) bool {
		o := m[v.Observer]
		return v.Age >= 0 && slices.Contains(s.probers, v.Observer) && o.stands(v.Boot, now) && !o.Distrust
	})
	return Duty{On: !served, Of: 1}
}

// steady reports whether a probe has ended that others may be compared with: it ended as all have for more than two intervals. What
// changed later, the others may not have seen yet, and whoever sees it first is not the one who errs.
func (s *subject) steady() bool {
	at := s.sight.Probed
	if !at.After(s.compared) {
		return false
	}
	if s.compared.IsZero() || s.sight.ProbeFailed != s.failed {
		s.failed, s.turned = s.sight.ProbeFailed, at
	}
	s.compared = at
	return at.Sub(s.turned) > 2*s.pool.options.Interval
}

// serve takes a duty up or lays it down. What probes concluded counts only while they go on, and once the first has ended.
func (s *subject) serve(d Duty, now time.Time) {
	if d.On && !s.duty.On {
		s.since = now
	}
	s.duty = d
	if !d.On || s.sight.Probed.Before(s.since) {
		s.sight.Probe = Unknown
	}
	switch {
	case !s.sight.ProbeFailed:
		s.failing = time.Time{}
	case s.failing.IsZero():
		s.failing = s.sight.Probed
	}
}

// assess judges this node's own judgement, by the backends on duty.
func (j *Jury) assess(score int, now time.Time) {
	c, interval := Condition{Score: score}, DefaultInterval
	for _, s := range j.subjects {
		if !s.duty.On || s.sight.Probed.IsZero() {
			continue
		}
		c.Targets++
		own := s.pool.options.Interval
		if late := s.sight.Late; float64(late)/float64(own) > float64(c.Late)/float64(interval) {
			c.Late, interval = late, own
		}
		if s.failing.IsZero() {
			continue
		}
		c.Failing++
		if now.Sub(s.failing) <= massWindow*own {
			c.Fallen++
		}
	}
	j.doubt = j.confidence.Assess(c, interval, now)
}

// suspect returns about which members the opinion has changed.
func (j *Jury) suspect(m Members, now time.Time) map[string]bool {
	var changed map[string]bool
	for _, name := range j.members {
		if _, distrust := j.trust.Wrong(name, now); name != j.self && distrust != m[name].Distrust {
			if changed == nil {
				changed = map[string]bool{}
			}
			changed[name] = distrust
		}
	}
	return changed
}

// Disagreements returns how many votes have contradicted what this node saw itself.
func (j *Jury) Disagreements() uint64 { return j.wrong }

// Opinion is why a verdict is what it is, for people.
type Opinion struct {
	Verdict Verdict
	Reason  string
	Votes   []string // of the others, one line each
	Duty    Duty
	Probers []string // members on duty
}

// Explain returns why the verdict on a subject is what it is.
func (j *Jury) Explain(key Key, t *Table, m Members, now time.Time) (Opinion, bool) {
	s := j.subjects[key]
	if s == nil {
		return Opinion{}, false
	}
	c := Case{Votes: t.Votes(key), Members: m, Probers: s.probers}
	return Opinion{
		Verdict: s.verdict, Reason: s.verdict.Reason(now), Votes: c.Explain(s.pool.options, now), Duty: s.duty,
		Probers: slices.Clone(s.probers),
	}, true
}
