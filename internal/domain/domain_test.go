package domain

import (
	"slices"
	"strings"
	"testing"

	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

func mustParse(t *testing.T, s string) sipmsg.URI {
	t.Helper()
	u, err := sipmsg.ParseURI(s)
	if err != nil {
		t.Fatalf("ParseURI(%q): %v", s, err)
	}
	return u
}

func TestSet_AOR_RFC3261_10_3_5(t *testing.T) {
	domains := []Domain{
		{Name: "Example.com", Aliases: []string{"sip.example.com", "192.0.2.1"}},
		{Name: "[2001:DB8::1]"},
	}
	for _, tc := range []struct {
		name string
		fold bool
		uri  string
		want usrloc.AOR
		ours bool
	}{
		{"name", false, "sip:Alice@example.com", "sip:Alice@example.com", true},
		{"everything that goes", false, "sips:%41lice:pw@EXAMPLE.com.:5061;user=phone?x=y", "sip:Alice@example.com", true},
		{"alias", false, "sip:alice@sip.example.com", "sip:alice@example.com", true},
		{"address", false, "sip:alice@192.0.2.1:5060", "sip:alice@example.com", true},
		{"IPv6", false, "sip:alice@[2001:db8:0::1]", "sip:alice@[2001:db8::1]", true},
		{"foreign", false, "sip:Alice@example.net", "sip:Alice@example.net", false},
		{"no user", false, "sip:sip.example.com", "sip:example.com", true},
		{"folded", true, "sip:Alice@example.com", "sip:alice@example.com", true},
		{"folded alias", true, "sip:ALICE@SIP.example.com", "sip:alice@example.com", true},
		{"the case of others is theirs", true, "sip:Alice@example.net", "sip:Alice@example.net", false},
		{"an @ in the user", true, "sip:A%40b@sip.example.com", "sip:a%40b@example.com", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := New(domains, tc.fold)
			if err != nil {
				t.Fatal(err)
			}
			u := mustParse(t, tc.uri)
			got, ours, err := s.AOR(u)
			if got != tc.want || ours != tc.ours || err != nil {
				t.Errorf("AOR(%s) = %q, %v, %v, want %q, %v", tc.uri, got, ours, err, tc.want, tc.ours)
			}
			if s.Serves(u.Host) != tc.ours {
				t.Errorf("Serves(%q) = %v", u.Host, !tc.ours)
			}
			again, _, err := s.AOR(mustParse(t, string(got)))
			if again != got || err != nil || !s.Stands(got) {
				t.Errorf("AOR(%s) = %q, %v, and it stands: %v; want the same again", got, again, err, s.Stands(got))
			}
			if key, err := sipmsg.CanonicalAOR(u); err != nil || s.Stands(usrloc.AOR(key)) != (usrloc.AOR(key) == got) {
				t.Errorf("Stands(%s) = %v (%v), but AOR is %s", key, s.Stands(usrloc.AOR(key)), err, got)
			}
		})
	}
}

func TestSet_AOR_NoSIPURI(t *testing.T) {
	s, err := New([]Domain{{Name: "example.com"}}, false)
	if err != nil {
		t.Fatal(err)
	}
	if aor, _, err := s.AOR(mustParse(t, "tel:+1234")); err == nil {
		t.Errorf("AOR = %q", aor)
	}
}

func TestNew_Names(t *testing.T) {
	s, err := New([]Domain{{Name: "B.example"}, {Name: "a.example"}}, false)
	if want := []string{"b.example", "a.example"}; err != nil || !slices.Equal(s.Names(), want) {
		t.Errorf("Names() = %q, %v, want %q", s.Names(), err, want)
	}
}

func TestNew_Refuses(t *testing.T) {
	for _, tc := range []struct {
		name    string
		domains []Domain
		want    string
	}{
		{"nothing", nil, "no domains"},
		{"a URI", []Domain{{Name: "sip:example.com"}}, `"sip:example.com" is no domain`},
		{"a port", []Domain{{Name: "example.com:5060"}}, "is no domain"},
		{"a user", []Domain{{Name: "a@example.com"}}, "is no domain"},
		{"empty alias", []Domain{{Name: "example.com", Aliases: []string{""}}}, `"" is no domain`},
		{"twice", []Domain{{Name: "example.com"}, {Name: "EXAMPLE.com"}}, "domain example.com comes twice"},
		{"alias of two", []Domain{{Name: "a.com", Aliases: []string{"c.com"}}, {Name: "b.com", Aliases: []string{"C.com."}}}, "domain c.com comes twice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := New(tc.domains, false); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("New = %v, want %s", err, tc.want)
			}
		})
	}
}
