package purr

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reveille/usrloc"
)

var gruuBinding = usrloc.BindingID{1, 2, 3, 15: 16}

func TestTempGRUU_OpensAsWhatItStandsFor_RFC5627_5_4(t *testing.T) {
	k := Generate(time.Now())
	user := string(k.AppendTempGRUU([]byte("sip:"), gruuBinding, "call-1"))[len("sip:"):]
	if len(user) != TempGRUULen {
		t.Errorf("%d letters, want %d", len(user), TempGRUULen)
	}
	for _, form := range []string{user, strings.ToUpper(user)} {
		g, err := k.OpenTempGRUU(form)
		if err != nil || g.Binding != gruuBinding || !g.Valid("call-1") {
			t.Errorf("OpenTempGRUU(%q) = %+v, %v", form, g, err)
		}
	}
}

func TestTempGRUU_EndsWithTheCallID_RFC5627_5_1(t *testing.T) {
	k := Generate(time.Now())
	first, err := k.OpenTempGRUU(string(k.AppendTempGRUU(nil, gruuBinding, "call-1")))
	if err != nil {
		t.Fatal(err)
	}
	second, err := k.OpenTempGRUU(string(k.AppendTempGRUU(nil, gruuBinding, "call-2")))
	if err != nil {
		t.Fatal(err)
	}
	if first.Valid("call-2") || !second.Valid("call-2") {
		t.Errorf("after the Call-ID changed: the old one valid %v, the new one %v", first.Valid("call-2"), second.Valid("call-2"))
	}
}

// Two GRUUs of one binding have nothing in common that two of different bindings
// do not have: the id of the key.
func TestTempGRUU_Unlinkable_RFC5627_5_1(t *testing.T) {
	k := Generate(time.Now())
	const keyLetters = keyIDLen*8/5 + 1
	seen := map[string]bool{}
	for range 1000 {
		user := string(k.AppendTempGRUU(nil, gruuBinding, "call"))
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
	user := string(before.AppendTempGRUU(nil, gruuBinding, "call"))
	after, err := Load(path, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if g, err := after.OpenTempGRUU(user); err != nil || g.Binding != gruuBinding || !g.Valid("call") {
		t.Errorf("OpenTempGRUU = %+v, %v", g, err)
	}
}

// A phone shows its PURR and its GRUU to everybody: neither passes for the
// other, nor for a token that gives a right to relay.
func TestTempGRUU_IsNoOtherToken(t *testing.T) {
	k := Generate(time.Now())
	user := string(k.AppendTempGRUU(nil, gruuBinding, "call"))
	if _, err := k.Unseal(RecordRoute, user); !errors.Is(err, ErrToken) {
		t.Errorf("as a Record-Route token: %v", err)
	}
	if _, err := k.Unseal(PURR, user); !errors.Is(err, ErrToken) {
		t.Errorf("as a PURR: %v", err)
	}
	payload := make([]byte, gruuSize)
	changed := []byte(user)
	if changed[40]++; letterValue(changed[40]) < 0 {
		changed[40] = '0'
	}
	for _, token := range []string{"", "alice", k.Mint(gruuBinding), k.Seal(PURR, payload), k.Seal(RecordRoute, payload), user[1:], string(changed)} {
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
	if n := testing.AllocsPerRun(100, func() { dst = k.AppendTempGRUU(dst[:0], gruuBinding, "call") }); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}
