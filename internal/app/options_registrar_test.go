package app

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/configs"
	"reveille/purr"
	"reveille/push"
	"reveille/registrar"
	"reveille/usrloc"
)

func TestRegistrarPolicy(t *testing.T) {
	const text = `
domains: [example.com]
registrar:
  default_q: -1
  single_contact: true
  stale_status: 400
  expires: {jitter: {percent: 10, mode: plus_minus, applies_to: default}}
  service_route: ["sip:a.example;lr"]
  path: {mode: strict, use_received: true}
  outbound: {mode: required, flow_timer: 90s}
  reply: {contacts: request, received_param: received}
  aor: {case_sensitive: false}
  rules: [{domain: example.com, user_agent: "^Desk", default: 10m, min: 5m, max: 2h, max_contacts: 2, path: lazy}]
aors:
  - {aor: Desk@example.com, default: 20m, min: 6m, max: 3h, max_contacts: 3}
  - {aor: sales@example.com, rings: [desk@example.com]}
push: {expires: {min: 10m, short: accept}}
`
	cfg, _, err := configs.Parse("r.yaml", []byte(text), configs.Env{})
	if err != nil {
		t.Fatal(err)
	}
	keys := purr.Generate(time.Now())
	p, err := registrarPolicy(cfg, new(push.Dispatcher), keys, func(*usrloc.Binding) bool { return true })
	if err == nil {
		err = p.Validate()
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{
		"q":        p.DefaultQ == usrloc.QUnset,
		"overflow": p.MaxContacts == 1 && p.Overflow == registrar.ReplaceOldest,
		"stale":    p.StaleStatus == 400,
		"jitter":   p.Jitter == registrar.Jitter{Percent: 10, Both: true, DefaultOnly: true},
		"path":     p.Path == registrar.PathStrict && p.PathReceived,
		"routes":   len(p.ServiceRoute) == 1,
		"gruu":     p.GRUU == registrar.GRUU(keys),
		"outbound": p.Outbound == registrar.OutboundPolicy{Mode: registrar.OutboundRequired, FlowTimer: 90 * time.Second},
		"reply":    p.RequestContactsOnly && p.ReceivedParam == "received",
		"case":     p.FoldUser,
		"push":     p.Push.MinExpires == 10*time.Minute && p.Push.TooShort == registrar.TooShortWithoutPush,
		"user": cmp.Equal(p.Rules[1], registrar.Rule{
			AOR: "sip:desk@example.com", DefaultExpires: 20 * time.Minute, MinExpires: 6 * time.Minute, MaxExpires: 3 * time.Hour, MaxContacts: 3,
		}),
		"rule": len(p.Rules) == 2 && *p.Rules[0].Path == registrar.PathLazy && p.Rules[0].Domain == "example.com" && p.Rules[0].UserAgent.MatchString("Desk/1") &&
			p.Rules[0].DefaultExpires == 10*time.Minute && p.Rules[0].MinExpires == 5*time.Minute && p.Rules[0].MaxExpires == 2*time.Hour && p.Rules[0].MaxContacts == 2,
	} {
		if !ok {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestRegistrarPolicy_Default(t *testing.T) {
	p, err := registrarPolicy(configs.Default(), new(push.Dispatcher), purr.Generate(time.Now()), nil)
	if err == nil {
		err = p.Validate()
	}
	if err != nil {
		t.Fatal(err)
	}
	want := registrar.DefaultPolicy()
	if p.Outbound != want.Outbound || p.Push.MinExpires != want.Push.MinExpires || p.Push.TooShort != want.Push.TooShort || p.StaleStatus != want.StaleStatus || p.Path != want.Path || p.Jitter != want.Jitter {
		t.Errorf("the defaults of the configuration are not those of the package:\n%+v\n%+v", p, want)
	}
}
