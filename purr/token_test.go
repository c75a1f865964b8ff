package purr

import (
	"bytes"
	"errors"
	"math/bits"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/usrloc"
)

var day0 = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func testID(n byte) usrloc.BindingID {
	return usrloc.BindingID{0: 0x12, 1: 0x34, 15: n}
}

func TestMintOpen(t *testing.T) {
	ring := Generate(day0)
	for n := range byte(100) {
		token := ring.Mint(testID(n))
		if len(token) != PURRLen {
			t.Fatalf("len(Mint()) = %d, want %d", len(token), PURRLen)
		}
		got, err := ring.Open(token)
		if err != nil || got != testID(n) {
			t.Fatalf("Open(Mint(%v)) = %v, %v", testID(n), got, err)
		}
	}
}

func TestMint_Alphabet_RFC8599_8_7(t *testing.T) {
	token := Generate(day0).Mint(testID(1))
	if i := strings.IndexFunc(token, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}); i >= 0 {
		t.Errorf("Mint() = %q: character %d is not in [a-z0-9]", token, i)
	}
}

// An element on the way may fold case, since URI parameters compare without it.
func TestOpen_FoldedCase(t *testing.T) {
	ring := Generate(day0)
	token := ring.Mint(testID(7))
	mixed := []byte(strings.ToUpper(token))
	copy(mixed[10:20], token[10:20])
	for _, s := range []string{strings.ToUpper(token), string(mixed)} {
		if got, err := ring.Open(s); err != nil || got != testID(7) {
			t.Errorf("Open(%q) = %v, %v, want %v", s, got, err, testID(7))
		}
	}
}

func TestMint_Unlinkable_RFC8599_6_2(t *testing.T) {
	ring := Generate(day0)
	const n = 2000
	// The id of the key fills the first 16 bits: letters 0 to 2 and a part of
	// letter 3.
	const keyLetters = 3
	seen := make(map[string]bool, n)
	var same [PURRLen]int
	ones := 0
	first := ring.Mint(testID(1))
	for range n {
		token := ring.Mint(testID(1))
		if seen[token] {
			t.Fatal("the same token twice")
		}
		seen[token] = true
		if token[:keyLetters] != first[:keyLetters] {
			t.Fatalf("key id differs: %q and %q", token[:keyLetters], first[:keyLetters])
		}
		for i := range token {
			if token[i] == first[i] {
				same[i]++
			}
		}
		raw, _ := appendDecoded(nil, token)
		for _, b := range raw[keyIDLen:] {
			ones += bits.OnesCount8(b)
		}
	}
	// A letter equals that of another token by chance in 1 of 32 cases, letter 3,
	// whose first bit is the key's, in 1 of 16, and the last one, which holds 3
	// bits, in 1 of 8. The bounds are more than 6 standard deviations away.
	for i := keyLetters; i < PURRLen; i++ {
		want := n / 32
		switch i {
		case keyLetters:
			want = n / 16
		case PURRLen - 1:
			want = n / 8
		}
		if same[i] > want+want/2+30 {
			t.Errorf("letter %d is the same in %d of %d tokens of one binding, want about %d", i, same[i], n, want)
		}
	}
	total := n * (overhead + len(usrloc.BindingID{}) - keyIDLen) * 8
	if d := ones - total/2; d > 3000 || d < -3000 {
		t.Errorf("%d of %d bits are set", ones, total)
	}
}

// Nothing tells whether two tokens belong to one binding or to two.
func TestMint_Anonymous_RFC8599_6_2(t *testing.T) {
	ring := Generate(day0)
	for n := range byte(50) {
		id := testID(n)
		raw, _ := appendDecoded(nil, ring.Mint(id))
		if bytes.Contains(raw, id[:2]) && bytes.Contains(raw, id[12:]) {
			t.Fatalf("token of %v shows it: %x", id, raw)
		}
	}
}

func TestOpen_AnyBitChanged_RFC8599_6_2(t *testing.T) {
	ring := Generate(day0)
	raw, ok := appendDecoded(nil, ring.Mint(testID(1)))
	if !ok {
		t.Fatal("own token does not decode")
	}
	for i := range len(raw) * 8 {
		forged := bytes.Clone(raw)
		forged[i/8] ^= 1 << (i % 8)
		if id, err := ring.Open(string(appendEncoded(nil, forged))); !errors.Is(err, ErrToken) {
			t.Errorf("bit %d changed: Open() = %v, %v, want ErrToken", i, id, err)
		}
	}
}

func TestOpen_AnyLetterChanged_RFC8599_6_2(t *testing.T) {
	ring := Generate(day0)
	token := ring.Mint(testID(1))
	for i := range token {
		for _, c := range []byte(alphabet + "wxyz-=%\r\n ;\x00\xff") {
			if c == token[i] {
				continue
			}
			forged := token[:i] + string([]byte{c}) + token[i+1:]
			if id, err := ring.Open(forged); !errors.Is(err, ErrToken) {
				t.Fatalf("Open(%q) = %v, %v, want ErrToken", forged, id, err)
			}
		}
	}
}

func TestOpen_NoToken(t *testing.T) {
	ring := Generate(day0)
	token := ring.Mint(testID(1))
	for _, tt := range []struct{ name, token string }{
		{"empty", ""},
		{"one letter", "a"},
		{"cut", token[:len(token)-1]},
		{"longer", token + "0"},
		{"twice", token + token},
		{"zeros", strings.Repeat("0", PURRLen)},
		{"not letters", strings.Repeat("=", PURRLen)},
		{"a token with another length", ring.Seal(PURR, []byte("short"))},
		{"an empty payload", ring.Seal(PURR, nil)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if id, err := ring.Open(tt.token); !errors.Is(err, ErrToken) || !id.IsZero() {
				t.Errorf("Open(%q) = %v, %v, want ErrToken", tt.token, id, err)
			}
		})
	}
}

func TestUnseal(t *testing.T) {
	ring := Generate(day0)
	for _, n := range []int{0, 1, 2, 3, 4, 5, 16, 17, 300, MaxPayload} {
		payload := bytes.Repeat([]byte{0xa5}, n)
		token := ring.Seal(RecordRoute, payload)
		for _, s := range []string{token, strings.ToUpper(token)} {
			got, err := ring.Unseal(RecordRoute, s)
			if err != nil || !bytes.Equal(got, payload) {
				t.Errorf("%d bytes: Unseal() = %x, %v", n, got, err)
			}
		}
	}
	token := ring.Seal(RecordRoute, make([]byte, MaxPayload+1))
	if _, err := ring.Unseal(RecordRoute, token); !errors.Is(err, ErrToken) {
		t.Errorf("payload over the bound: Unseal() = %v, want ErrToken", err)
	}
}

func TestUnseal_OtherPurpose(t *testing.T) {
	ring := Generate(day0)
	id := testID(1)
	purr := ring.Mint(id)
	route := ring.Seal(RecordRoute, id[:])
	if got, err := ring.Unseal(RecordRoute, purr); !errors.Is(err, ErrToken) {
		t.Errorf("a PURR passes for a Record-Route token: %x, %v", got, err)
	}
	if got, err := ring.Open(route); !errors.Is(err, ErrToken) {
		t.Errorf("a Record-Route token passes for a PURR: %v, %v", got, err)
	}
	if got, err := ring.Unseal(PURR, purr); err != nil || !bytes.Equal(got, id[:]) {
		t.Errorf("Unseal(PURR) = %x, %v, want %x", got, err, id)
	}
}

func TestAppendUnseal_KeepsPrefix(t *testing.T) {
	ring := Generate(day0)
	dst := []byte("prefix:")
	got, err := ring.AppendUnseal(dst, RecordRoute, ring.Seal(RecordRoute, []byte("x")))
	if err != nil || string(got) != "prefix:x" {
		t.Errorf("AppendUnseal() = %q, %v", got, err)
	}
	got, err = ring.AppendUnseal(dst, RecordRoute, "junk")
	if !errors.Is(err, ErrToken) || string(got) != "prefix:" {
		t.Errorf("AppendUnseal(junk) = %q, %v", got, err)
	}
	if got := string(ring.AppendMint([]byte("purr="), testID(1))); !strings.HasPrefix(got, "purr=") || len(got) != 5+PURRLen {
		t.Errorf("AppendMint() = %q", got)
	}
}

func TestUnknownKey(t *testing.T) {
	a, err := New([]Key{{ID: 1, Secret: [32]byte{1}, Created: day0}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := New([]Key{{ID: 2, Secret: [32]byte{1}, Created: day0}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Open(a.Mint(testID(1)))
	if !errors.Is(err, ErrUnknownKey) || !errors.Is(err, ErrToken) {
		t.Errorf("Open() = %v, want ErrUnknownKey", err)
	}
	// The same id with another secret.
	c, err := New([]Key{{ID: 1, Secret: [32]byte{2}, Created: day0}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Open(a.Mint(testID(1))); !errors.Is(err, ErrToken) || errors.Is(err, ErrUnknownKey) {
		t.Errorf("Open() = %v, want ErrToken", err)
	}
}

func TestKeyring_NewestSealsAllOpen(t *testing.T) {
	old := Key{ID: 1, Secret: [32]byte{1}, Created: day0}
	newer := Key{ID: 2, Secret: [32]byte{2}, Created: day0.Add(time.Hour)}
	ring, err := New([]Key{old})
	if err != nil {
		t.Fatal(err)
	}
	token := ring.Mint(testID(1))
	if err := ring.Replace([]Key{old, newer}); err != nil {
		t.Fatal(err)
	}
	if got, err := ring.Open(token); err != nil || got != testID(1) {
		t.Errorf("token of the old key: Open() = %v, %v", got, err)
	}
	if raw, _ := appendDecoded(nil, ring.Mint(testID(1))); raw[1] != 2 {
		t.Errorf("sealed with key %d, want the newest, 2", raw[1])
	}
	if diff := cmp.Diff([]Key{newer, old}, ring.Keys()); diff != "" {
		t.Errorf("Keys() (-want +got):\n%s", diff)
	}
	if err := ring.Replace([]Key{newer}); err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Open(token); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("token of a dropped key: Open() = %v, want ErrUnknownKey", err)
	}
}

func TestNew_Errors(t *testing.T) {
	k := Key{ID: 1, Secret: [32]byte{1}, Created: day0}
	for _, tt := range []struct {
		name string
		keys []Key
		want error
	}{
		{"none", nil, ErrNoKey},
		{"duplicate", []Key{k, k}, ErrDuplicateKey},
		{"zero", []Key{k, {ID: 2}}, ErrZeroKey},
		{"too many", make([]Key, MaxKeys+1), ErrTooManyKeys},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := New(tt.keys); !errors.Is(err, tt.want) {
				t.Errorf("New() = %v, want %v", err, tt.want)
			}
			ring := Generate(day0)
			before := ring.Keys()
			if err := ring.Replace(tt.keys); !errors.Is(err, tt.want) {
				t.Errorf("Replace() = %v, want %v", err, tt.want)
			}
			if diff := cmp.Diff(before, ring.Keys()); diff != "" {
				t.Errorf("a refused Replace changed the keys:\n%s", diff)
			}
		})
	}
}

// Readers see whole rings while keys change; -race does the rest.
func TestKeyring_ConcurrentReplace(t *testing.T) {
	ring := Generate(day0)
	first := ring.Keys()[0]
	token := ring.Mint(testID(3))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 300 {
				if id, err := ring.Open(token); err != nil || id != testID(3) {
					t.Errorf("Open() = %v, %v", id, err)
					return
				}
				if id, err := ring.Open(ring.Mint(testID(4))); err != nil || id != testID(4) {
					t.Errorf("Open(Mint()) = %v, %v", id, err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		keys := []Key{first}
		for i := range 40 {
			keys = append(keys, newKeyBeside(keys, day0.Add(time.Duration(i)*time.Hour)))
			if err := ring.Replace(keys); err != nil {
				t.Error(err)
				return
			}
		}
	})
	wg.Wait()
}

func FuzzOpen(f *testing.F) {
	ring, err := New([]Key{{ID: 1, Secret: [32]byte{1}, Created: day0}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ring.Mint(testID(1)))
	f.Add(ring.Seal(RecordRoute, []byte("two legs")))
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		// What opens was sealed with the key: sealing gives it another spelling,
		// but the same id. The corpus holds one such token; nobody finds others.
		if id, err := ring.Open(token); err == nil && id != testID(1) {
			t.Errorf("Open(%q) = %v", token, id)
		}
		if p, err := ring.Unseal(RecordRoute, token); err == nil && string(p) != "two legs" {
			t.Errorf("Unseal(%q) = %q", token, p)
		}
	})
}

func BenchmarkAppendMint(b *testing.B) {
	ring, id := Generate(day0), testID(1)
	dst := make([]byte, 0, PURRLen)
	b.ReportAllocs()
	for b.Loop() {
		dst = ring.AppendMint(dst[:0], id)
	}
}

func BenchmarkOpen(b *testing.B) {
	ring := Generate(day0)
	token := ring.Mint(testID(1))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ring.Open(token); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAppendMint_AllocatesNothing(t *testing.T) {
	ring, id := Generate(day0), testID(1)
	dst := make([]byte, 0, PURRLen)
	token := ring.Mint(id)
	if n := testing.AllocsPerRun(1000, func() { dst = ring.AppendMint(dst[:0], id) }); n >= 1 {
		t.Errorf("AppendMint allocates %v times", n)
	}
	if n := testing.AllocsPerRun(1000, func() { _, _ = ring.Open(token) }); n >= 1 {
		t.Errorf("Open allocates %v times", n)
	}
}
