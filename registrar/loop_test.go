package registrar

import (
	"strings"
	"testing"

	"reveille/purr"
	"reveille/usrloc"
)

// A contact leads back to us by whatever name of the domain, and in whatever case
// if that does not count.
func TestServe_ContactIsTheAOR_ByAnotherName_RFC5627_5_1(t *testing.T) {
	keys := purr.Generate(birthday)
	temporary := "sip:" + string(keys.AppendTempGRUU(nil, "alice", &usrloc.Binding{Instance: "urn:x:1"}))
	for _, tt := range []struct {
		name, uri string
		fold      bool
		refused   bool
	}{
		{"the AOR", "sip:alice@example.com", false, true},
		{"an alias of the domain", "sip:alice@sip.example.net", false, true},
		{"an alias in upper case", "sip:alice@SIP.example.net", false, true},
		{"another case", "sip:Alice@example.com", true, true},
		{"another case that counts", "sip:Alice@example.com", false, false},
		{"another domain", "sip:alice@example.org", false, false},
		{"a phone's address", "sip:alice@example.com:5062", false, false},
		{"a public GRUU by an alias", "sip:alice@sip.example.net;gr=urn:x:1", false, true},
		{"a temporary GRUU", temporary + "@example.com;gr", false, true},
		{"a temporary GRUU by an alias", temporary + "@sip.example.net;gr", false, true},
		{"a temporary GRUU of another domain", temporary + "@example.org;gr", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := usrloc.NewMemory(usrloc.MemoryOptions{})
			defer store.Close()
			s := newServer(t, store)
			p := pushPolicy()
			p.Aliases, p.FoldUser, p.GRUU = map[string]string{"sip.example.net": "example.com"}, tt.fold, keys
			if err := s.SetPolicy(p); err != nil {
				t.Fatal(err)
			}
			got := s.roundTrip(request(1, "Contact: <"+tt.uri+`>;+sip.instance="<urn:x:1>"`))
			want := map[bool]string{true: "SIP/2.0 403 Contact Is ", false: "SIP/2.0 200 "}[tt.refused]
			if !strings.HasPrefix(got, want) {
				t.Errorf("answer\n%s\nwant %s", got, want)
			}
		})
	}
}
