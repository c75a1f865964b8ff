package registrar

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"reveille/usrloc"
)

func TestRules_Of(t *testing.T) {
	p := pushPolicy()
	p.Domains = []string{"example.com", "example.net"}
	p.Rules = []Rule{
		{Domain: "EXAMPLE.net", UserAgent: regexp.MustCompile(`(?i)^acme`), MaxExpires: 10 * time.Minute, DefaultExpires: 5 * time.Minute},
		{Domain: "example.net", MaxContacts: 2},
		{UserAgent: regexp.MustCompile("^Old"), MinExpires: 30 * time.Minute, MaxExpires: 2 * time.Hour},
		{AOR: "sip:boss@example.net", MaxContacts: 7},
	}
	r, err := New(Options{Store: usrloc.NewMemory(usrloc.MemoryOptions{}), Policy: p})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		aor          usrloc.AOR
		agent        string
		least, most  time.Duration
		push, unsaid time.Duration
		contacts     int
	}{
		{"sip:a@example.com", "ACME/1", time.Minute, time.Hour, 30 * 24 * time.Hour, time.Hour, 10},
		{"sip:a@example.net", "ACME/1", time.Minute, 10 * time.Minute, 10 * time.Minute, 5 * time.Minute, 10},
		{"sip:a@example.net", "other", time.Minute, time.Hour, 30 * 24 * time.Hour, time.Hour, 2},
		{"sip:a@example.com", "Old", 30 * time.Minute, 2 * time.Hour, 2 * time.Hour, time.Hour, 10},
		{"sip:boss@example.net", "ACME/1", time.Minute, time.Hour, 30 * 24 * time.Hour, time.Hour, 7},
		{"sip:Boss@example.net", "other", time.Minute, time.Hour, 30 * 24 * time.Hour, time.Hour, 2},
		{"sip:a@example.com", strings.Repeat("x", 128) + "Old", time.Minute, time.Hour, 30 * 24 * time.Hour, time.Hour, 10},
	} {
		got := r.policy.Load().of(&Input{AOR: tt.aor, UserAgent: tt.agent})
		if got.MinExpires != tt.least || got.MaxExpires != tt.most || got.Push.MaxExpires != tt.push || got.DefaultExpires != tt.unsaid || got.MaxContacts != tt.contacts {
			t.Errorf("policy of %s, %s: min %v, max %v, push max %v, default %v, contacts %d; want %+v", tt.aor, tt.agent,
				got.MinExpires, got.MaxExpires, got.Push.MaxExpires, got.DefaultExpires, got.MaxContacts, tt)
		}
	}
}

func TestServe_Rule(t *testing.T) {
	s := newServer(t, newStore(t))
	p := *s.Policy()
	p.Rules = []Rule{{UserAgent: regexp.MustCompile("^Desk"), MaxExpires: 2 * time.Minute}}
	if err := s.SetPolicy(p); err != nil {
		t.Fatal(err)
	}
	if answer := s.roundTrip(request(1, "Contact: <sip:a@192.0.2.1>", "User-Agent: Desk/7")); !strings.Contains(answer, ";expires=120\r\n") {
		t.Errorf("answer\n%s", answer)
	}
	if answer := s.roundTrip(request(2, "Contact: <sip:a@192.0.2.1>", "User-Agent: Soft/7")); !strings.Contains(answer, ";expires=3600\r\n") {
		t.Errorf("answer\n%s", answer)
	}
}

// TestServe_RuleOfPath_RFC3327_5_3: a domain may want of Path something else than
// the others.
func TestServe_RuleOfPath_RFC3327_5_3(t *testing.T) {
	s := newServer(t, newStore(t))
	p, strict := *s.Policy(), PathStrict
	p.Rules = []Rule{{AOR: "sip:nobody@example.com", MaxContacts: 1}, {Domain: p.Domains[0], Path: &strict}}
	if err := s.SetPolicy(p); err != nil {
		t.Fatal(err)
	}
	if answer := s.roundTrip(request(1, "Contact: <sip:a@192.0.2.1>", "Path: <sip:edge.example.com;lr>")); !strings.HasPrefix(answer, "SIP/2.0 420 ") {
		t.Errorf("answer\n%s", answer)
	}
	p.Rules = p.Rules[:1]
	if err := s.SetPolicy(p); err != nil {
		t.Fatal(err)
	}
	if answer := s.roundTrip(request(2, "Contact: <sip:a@192.0.2.1>", "Path: <sip:edge.example.com;lr>")); !strings.HasPrefix(answer, "SIP/2.0 200 ") {
		t.Errorf("answer\n%s", answer)
	}
}

func TestRules_Validate(t *testing.T) {
	off := PathOff
	for _, tt := range []struct {
		name  string
		rules []Rule
		says  string
	}{
		{"of a user", []Rule{{MaxContacts: 2}, {AOR: "sip:a@example.com", MinExpires: 2 * time.Hour}}, "rule 1: registrar policy: min expires"},
		{"a user twice", []Rule{{AOR: "sip:a@example.com"}, {AOR: "sip:b@example.com"}, {AOR: "sip:a@example.com"}}, "rule 2: another one is for sip:a@example.com"},
		{"flows without Path", []Rule{{Path: &off}}, "rule 0: registrar policy: outbound without Path"},
		{"rules of all", []Rule{{MaxContacts: 2}, {MaxContacts: 3}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := DefaultPolicy("example.com", "example.net")
			p.Rules = tt.rules
			if err := p.Validate(); tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("Validate = %v, want %q", err, tt.says)
			}
		})
	}
}
