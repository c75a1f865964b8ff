package purr

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reveille/usrloc"
)

var (
	gruuPhone  = usrloc.Binding{ID: usrloc.BindingID{1, 2, 3, 15: 16}, Instance: "urn:uuid:F81D4FAE", GRUUSet: 1}
	otherFlow  = usrloc.Binding{ID: usrloc.BindingID{4}, Instance: "urn:uuid:f81d4fae", RegID: 2, GRUUSet: 1}
	laterSet   = usrloc.Binding{ID: usrloc.BindingID{1, 2, 3, 15: 16}, Instance: "urn:uuid:F81D4FAE", GRUUSet: 2}
	otherPhone = usrloc.Binding{ID: usrloc.BindingID{5}, Instance: "urn:uuid:00000000", GRUUSet: 1}
	bareSets   = usrloc.Binding{ID: usrloc.BindingID{6}}
)

func TestTempGRUU_OpensAsWhatItStandsFor_RFC5627_5_4(t *testing.T) {
	k := Generate(time.Now())
	for _, name := range []string{"a", "alice", strings.Repeat("x", 40), strings.Repeat("x", 41), strings.Repeat("x", MaxGRUUUser)} {
		user := string(k.AppendTempGRUU([]byte("sip:"), name, &gruuPhone))[len("sip:"):]
		if len(name) <= 40 && len(user) != TempGRUULen {
			t.Errorf("%d letters for %q, want %d", len(user), name, TempGRUULen)
		}
		for _, form := range []string{user, strings.ToUpper(user)} {
			g, err := k.OpenTempGRUU(form)
			if err != nil || g.User != name || !g.Of(&gruuPhone) {
				t.Errorf("OpenTempGRUU(%q) = %+v, %v", form, g, err)
			}
		}
	}
}

// A GRUU is of all flows of its device, and of no other device or set.
func TestTempGRUU_OfTheDevice_RFC5627_5_1(t *testing.T) {
	k := Generate(time.Now())
	g, err := k.OpenTempGRUU(string(k.AppendTempGRUU(nil, "alice", &gruuPhone)))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		of   usrloc.Binding
		want bool
	}{
		{"another flow", otherFlow, true}, {"a later set", laterSet, false}, {"another phone", otherPhone, false}, {"no instance", bareSets, false},
	} {
		if g.Of(&tt.of) != tt.want {
			t.Errorf("%s: Of = %v, want %v", tt.name, !tt.want, tt.want)
		}
	}
}

// Two GRUUs of one device have nothing in common that two of different users do
// not have: the id of the key, and the length.
func TestTempGRUU_Unlinkable_RFC5627_5_1(t *testing.T) {
	k := Generate(time.Now())
	const keyLetters = keyIDLen*8/5 + 1
	seen := map[string]bool{}
	for i := range 1000 {
		user := string(k.AppendTempGRUU(nil, strings.Repeat("alice", i%8), &gruuPhone))
		if len(user) != TempGRUULen {
			t.Fatalf("%d letters, want %d", len(user), TempGRUULen)
		}
		for at := keyLetters; at+8 <= len(user); at += 8 {
			if part := user[at : at+8]; seen[part] {
				t.Fatalf("%q comes twice", part)
			} else {
				seen[part] = true
			}
		}
	}
}

func TestTempGRUU_SurvivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	before, err := Load(path, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	user := string(before.AppendTempGRUU(nil, "alice", &gruuPhone))
	after, err := Load(path, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if g, err := after.OpenTempGRUU(user); err != nil || g.User != "alice" || !g.Of(&gruuPhone) {
		t.Errorf("OpenTempGRUU = %+v, %v", g, err)
	}
}

// A phone shows its PURR and its GRUU to everybody: neither passes for the
// other, nor for a token that gives a right to relay.
func TestTempGRUU_IsNoOtherToken(t *testing.T) {
	k := Generate(time.Now())
	user := string(k.AppendTempGRUU(nil, "alice", &gruuPhone))
	if _, err := k.Unseal(RecordRoute, user); !errors.Is(err, ErrToken) {
		t.Errorf("as a Record-Route token: %v", err)
	}
	if _, err := k.Unseal(PURR, user); !errors.Is(err, ErrToken) {
		t.Errorf("as a PURR: %v", err)
	}
	payload := make([]byte, gruuHashLen+gruuUserBlock)
	changed := []byte(user)
	if changed[40]++; letterValue(changed[40]) < 0 {
		changed[40] = '0'
	}
	for _, token := range []string{
		"", "alice", k.Mint(gruuPhone.ID), k.Seal(PURR, payload), k.Seal(RecordRoute, payload), user[1:], string(changed), k.Seal(GRUU, payload[:24]),
	} {
		if _, err := k.OpenTempGRUU(token); !errors.Is(err, ErrToken) {
			t.Errorf("OpenTempGRUU(%q): %v, want ErrToken", token, err)
		}
	}
	if _, err := Generate(time.Now()).OpenTempGRUU(user); !errors.Is(err, ErrToken) {
		t.Errorf("with other keys: %v, want ErrToken", err)
	}
}

func TestTempGRUU_AllocatesNothing(t *testing.T) {
	k := Generate(time.Now())
	dst := make([]byte, 0, TempGRUULen)
	if n := testing.AllocsPerRun(100, func() { dst = k.AppendTempGRUU(dst[:0], "alice", &gruuPhone) }); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}
