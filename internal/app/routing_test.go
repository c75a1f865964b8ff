package app

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/configs"
	"reveille/internal/proxy"
	"reveille/usrloc"
)

func TestRouting(t *testing.T) {
	text := `
domains: [example.com]
proxy:
  fork: sequential
  sort: recent
  ring: 7s
  method_filter: true
  ua_filter: "(?i)^good"
  require_registered_caller: true
  domains:
    - {domain: Example.com, fork: first_only, sort: q, ua_filter: "^Desk"}
aors:
  - aor: sip:%44esk@Example.com
    contacts: ["sip:200@192.0.2.20:5070;transport=tcp", "sip:[2001:db8::7]"]
  - aor: sales@example.com
    rings: ["sip:desk@example.com", "sips:Alice@example.com"]
identity:
  from: overwrite
  trust_outbound: true
`
	tests := []struct {
		name  string
		more  string
		desk  usrloc.AOR
		rings []usrloc.AOR
	}{
		{"case counts", "", "sip:Desk@example.com", []usrloc.AOR{"sip:desk@example.com", "sip:Alice@example.com"}},
		{"case does not count", "registrar: {aor: {case_sensitive: false}}", "sip:desk@example.com", []usrloc.AOR{"sip:desk@example.com", "sip:alice@example.com"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, _, err := configs.Parse("r.yaml", []byte(text+tt.more), configs.Env{})
			if err != nil {
				t.Fatal(err)
			}
			o := proxy.Options{}
			if err := routing(&o, cfg); err != nil {
				t.Fatal(err)
			}
			if o.Fork != proxy.Sequential || o.Sort != proxy.ByRecent || o.Ring != 7*time.Second || !o.MethodFilter || !o.RegisteredCallers {
				t.Errorf("order %v, %v, %v, filter %v, callers %v, want what the file says", o.Fork, o.Sort, o.Ring, o.MethodFilter, o.RegisteredCallers)
			}
			c := o.Choices["example.com"]
			if c.Fork != proxy.FirstOnly || c.Sort != proxy.ByQ || !c.MethodFilter || !c.UserAgents.MatchString("Desk") || c.UserAgents.MatchString("good") {
				t.Errorf("choice of example.com %+v", c)
			}
			if !o.UserAgents.MatchString("GOOD/1") || o.UserAgents.MatchString("bad, not good") {
				t.Errorf("User-Agent filter %s", o.UserAgents)
			}
			if want := (proxy.Identity{From: proxy.OverwriteFrom, TrustOutbound: true}); o.Identity != want {
				t.Errorf("identity %+v, want %+v", o.Identity, want)
			}
			var contacts []string
			for _, c := range o.AORs[tt.desk].Contacts {
				contacts = append(contacts, c.URI.String())
			}
			if d := cmp.Diff([]string{"sip:200@192.0.2.20:5070;transport=tcp", "sip:[2001:db8::7]"}, contacts); d != "" {
				t.Errorf("contacts (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.rings, o.AORs["sip:sales@example.com"].Rings); d != "" {
				t.Errorf("rings (-want +got):\n%s", d)
			}
		})
	}
}

func TestRouting_Defaults(t *testing.T) {
	o := proxy.Options{}
	if err := routing(&o, configs.Default()); err != nil {
		t.Fatal(err)
	}
	if o.Fork != proxy.Parallel || o.Sort != proxy.ByQ || o.UserAgents != nil || o.MethodFilter || o.RegisteredCallers || len(o.AORs) > 0 {
		t.Errorf("defaults filter or order: %+v", o)
	}
	if want := (proxy.Identity{From: proxy.RejectFrom}); o.Identity != want {
		t.Errorf("identity %+v, want %+v", o.Identity, want)
	}
}

// Whoever asks for the name of a user is told the same one.
func TestDomains_Aliases(t *testing.T) {
	cfg, _, err := configs.Parse("r.yaml", []byte(`
domains: [example.com, example.net]
domain_aliases: [{alias: SIP.example.com, domain: example.com}]
auth: {users: [{name: alice, password: secret}]}
`), configs.Env{})
	if err != nil {
		t.Fatal(err)
	}
	set, err := domainSet(cfg)
	if err != nil {
		t.Fatal(err)
	}
	aor, err := aorOf(set, "alice@Sip.Example.com")
	if err != nil || aor != "sip:alice@example.com" {
		t.Errorf("the proxy calls alice %s, %v", aor, err)
	}
	policy, err := registrarPolicy(cfg, nil, nil, nil)
	if err != nil || policy.Validate() != nil || policy.Aliases["sip.example.com"] != "example.com" {
		t.Errorf("the registrar has the aliases %v, %v", policy.Aliases, err)
	}
	o, err := authOptions(cfg, nil)
	if _, ok := o.Domains["sip.example.com"]; err != nil || !ok {
		t.Errorf("auth has the domains %v, %v", o.Domains, err)
	}
}
