package registrar

import (
	"strings"
	"testing"
	"time"

	"reveille/usrloc"
)

func TestPolicy_Validate(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Policy)
		want   string // part of the error; "" if there is none
	}{
		{"default with push", func(*Policy) {}, ""},
		{"no domain", func(p *Policy) { p.Domains = nil }, "no domains"},
		{"default expires", func(p *Policy) { p.DefaultExpires = 0 }, "default expires 0s"},
		{"min expires above an hour", func(p *Policy) { p.MinExpires, p.MaxExpires = 2*time.Hour, 3*time.Hour }, "min expires 2h0m0s"},
		{"negative min expires", func(p *Policy) { p.MinExpires = -1 }, "min expires"},
		{"max below min", func(p *Policy) { p.MaxExpires = time.Second }, "max expires 1s"},
		{"max too long to count", func(p *Policy) { p.MaxExpires = maxLifetime + 1 }, "max expires"},
		{"negative jitter", func(p *Policy) { p.Jitter.Time = -1 }, "jitter"},
		{"jitter above half", func(p *Policy) { p.Jitter.Percent = 51 }, "jitter of 51"},
		{"q above one", func(p *Policy) { p.DefaultQ = 1001 }, "default q 1001"},
		{"q below unset", func(p *Policy) { p.DefaultQ = usrloc.QUnset - 1 }, "default q"},
		{"no contacts", func(p *Policy) { p.MaxContacts = 0 }, "max contacts 0"},
		{"endless contacts", func(p *Policy) { p.MaxContacts = 101 }, "max contacts 101"},
		{"overflow status", func(p *Policy) { p.OverflowStatus = 200 }, "overflow status 200"},
		{"length limit", func(p *Policy) { p.MaxContact = 0 }, "length limit"},
		{"no parameter to match", func(p *Policy) { p.Match = MatchParameter }, "without its name"},
		{"stale status", func(p *Policy) { p.StaleStatus = 404 }, "stale status 404"},
		{"retry after", func(p *Policy) { p.RetryAfter = -1 }, "retry after"},
		{"lead", func(p *Policy) { p.Push.Lead = 0 }, "push lead"},
		{"push min within the lead", func(p *Policy) { p.Push.MinExpires = p.Push.Lead }, "push min expires"},
		{"push min beyond what a 423 may ask", func(p *Policy) { p.Push.MinExpires = time.Hour + 1 }, "push min expires"},
		{"push max below min", func(p *Policy) { p.Push.MaxExpires = time.Minute }, "push max expires"},
		{"pnsreg of 120 s (RFC 8599 §5.6.1.1)", func(p *Policy) { p.Push.PNSReg = 120 * time.Second }, "pnsreg 2m0s"},
		{"pnsreg within the lead", func(p *Policy) {
			p.Push.Lead, p.Push.MinExpires, p.Push.PNSReg = 200*time.Second, time.Hour, 150*time.Second
		}, "pnsreg 2m30s"},
		{"alias", func(p *Policy) { p.Aliases = map[string]string{"sip.example.com": "example.com"} }, ""},
		{"alias of nothing", func(p *Policy) { p.Aliases = map[string]string{"sip.example.com": "example.net"} }, "alias sip.example.com"},
		{"alias is a domain", func(p *Policy) { p.Aliases = map[string]string{"example.com": "example.com"} }, "example.com comes twice"},
		{"service route without lr", func(p *Policy) { p.ServiceRoute = []string{"sip:out"} }, "service route"},
		{"service route breaks the line", func(p *Policy) { p.ServiceRoute = []string{"sip:out;lr\r\nX: y"} }, "service route"},
		{"service route is no SIP URI", func(p *Policy) { p.ServiceRoute = []string{"tel:+1;lr"} }, "service route"},
		{"received parameter", func(p *Policy) { p.ReceivedParam = "a b" }, "received parameter"},
		{"flow timer", func(p *Policy) { p.Outbound.FlowTimer = -1 }, "flow timer"},
		{"outbound without Path (RFC 5626 §6)", func(p *Policy) { p.Path = PathOff }, "outbound without Path"},
		{"neither outbound nor Path", func(p *Policy) { p.Path, p.Outbound.Mode = PathOff, OutboundOff }, ""},
		{"unavailable ones unknown", func(p *Policy) { p.Overflow = ReplaceUnavailable }, "replace unavailable"},
		{"rule", func(p *Policy) { p.Rules = []Rule{{}, {MaxExpires: time.Second}} }, "rule 1: registrar policy: max expires 1s"},
		{"no pnsreg", func(p *Policy) { p.Push.PNSReg = 0 }, ""},
		{"push values do not count without push", func(p *Policy) { p.Push = PushPolicy{} }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := pushPolicy()
			tt.change(&p)
			err := p.Validate()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Validate() = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestPolicy_ValidateTellsAll(t *testing.T) {
	err := (&Policy{}).Validate()
	for _, want := range []string{"no domains", "default expires", "max contacts", "overflow status", "stale status"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
}

func TestRegistrar_SetPolicy(t *testing.T) {
	store := usrloc.NewMemory(usrloc.MemoryOptions{})
	defer store.Close()
	r, err := New(Options{Store: store, Policy: DefaultPolicy("Example.COM")})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.SetPolicy(Policy{}); err == nil {
		t.Error("a policy with errors was taken")
	}
	if got := r.Policy().Domains[0]; got != "Example.COM" {
		t.Errorf("domain %q after a refused change", got)
	}
	if err := r.SetPolicy(DefaultPolicy("example.net")); err != nil || r.Policy().Domains[0] != "example.net" {
		t.Errorf("policy not changed: %v", err)
	}
}

func TestNew_Errors(t *testing.T) {
	if _, err := New(Options{Policy: DefaultPolicy("example.com")}); err == nil {
		t.Error("New without a store")
	}
	store := usrloc.NewMemory(usrloc.MemoryOptions{})
	defer store.Close()
	if _, err := New(Options{Store: store}); err == nil {
		t.Error("New without a policy")
	}
}
