package app

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/configs"
	"reveille/internal/proxy"
	"reveille/usrloc"
)

func TestFallbacks(t *testing.T) {
	cfg, _, err := configs.Parse("r.yaml", []byte(`
domains: [example.com]
proxy:
  ring_total: 25s
  routes:
    - {name: pbx, domain: pbx.example.com, to: "sip:192.0.2.10"}
  fallback:
    - {when: [busy, timeout], route: pbx, to: "sip:box@192.0.2.10;x=y", diversion: history_info}
    - {when: [unreachable], route: pbx, to: "sip:{user}@pbx.example.com", diversion: none}
    - {to: Box@Example.com}
aors:
  - aor: sip:alice@example.com
    fallback: [{when: [no_answer], to: "sips:bob@example.com"}]
  - {aor: sip:bob@example.com, no_fallback: true}
`), configs.Env{})
	if err != nil {
		t.Fatal(err)
	}
	o := proxy.Options{}
	if err := routing(&o, cfg); err != nil {
		t.Fatal(err)
	}
	type rule struct {
		When      proxy.When
		Route, To string
		Diversion proxy.DiversionMode
	}
	flat := func(list []proxy.Fallback) (all []rule) {
		for _, f := range list {
			to := ""
			if to = f.Mailbox; !f.To.IsZero() {
				to = f.To.String()
			}
			all = append(all, rule{f.When, f.Route, to, f.Diversion})
		}
		return all
	}
	want := []rule{
		{proxy.WhenBusy | proxy.WhenAsleep, "pbx", "sip:box@192.0.2.10;x=y", proxy.HistoryInfo},
		{proxy.WhenUnreachable, "pbx", "sip:{user}@pbx.example.com", proxy.NoDiversion},
		{0, "", "sip:Box@example.com", proxy.DiversionHeader},
	}
	if d := cmp.Diff(want, flat(o.Fallbacks)); d != "" {
		t.Errorf("rules for all (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]rule{{proxy.WhenNoAnswer, "", "sip:bob@example.com", proxy.DiversionHeader}}, flat(o.AORs["sip:alice@example.com"].Fallbacks)); d != "" {
		t.Errorf("rules for alice (-want +got):\n%s", d)
	}
	if a := o.AORs[usrloc.AOR("sip:bob@example.com")]; !a.NoFallback || o.AORs["sip:alice@example.com"].NoFallback {
		t.Error("bob has a fallback, or alice has none")
	}
	if o.RingTotal != 25*time.Second {
		t.Errorf("phones ring for %s", o.RingTotal)
	}
}
