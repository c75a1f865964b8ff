package disk

import (
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"reveille/flow"
	"reveille/usrloc"
	"reveille/usrloc/usrloctest"
)

// refreshed returns what a refresh may make of b, at random.
func refreshed(r *rand.Rand, b usrloc.Binding) usrloc.Binding {
	ms := func() time.Time { return milli(r.Int64N(1<<42) - 1<<41) }
	b.Updated, b.Expires, b.RetainUntil, b.RefreshAt = ms(), ms(), ms(), ms()
	if r.IntN(3) == 0 {
		b.RefreshAt = time.Time{}
	}
	b.CSeq, b.CallID = r.Uint32(), strings.Repeat("c", r.IntN(200))
	b.GRUUSet = r.Uint64() >> r.IntN(64)
	addrs := [...]netip.Addr{{}, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("fe80::1%eth0")}
	b.Flow = flow.Flow{
		Node: r.Uint32(), Incarnation: r.Uint64(), Conn: r.Uint64() >> r.IntN(64), Listener: strings.Repeat("l", r.IntN(20)),
		Transport: flow.Transport(r.IntN(256)), Remote: netip.AddrPortFrom(addrs[r.IntN(len(addrs))], uint16(r.Uint32())),
	}
	return b
}

func TestRefresh_RoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	old := usrloctest.Binding(usrloctest.AOR(1), 1, clock())
	for range 300 {
		want := refreshed(r, old)
		if !isRefresh(&old, &want) {
			t.Fatalf("isRefresh(%+v) = false", want)
		}
		data := appendRefresh(nil, &want)
		got := old
		if err := applyRefresh(&got, data); err != nil {
			t.Fatal(err)
		}
		if d := usrloctest.Diff(want, got); d != "" {
			t.Fatalf("after a round trip (-want +got):\n%s", d)
		}
		for n := range data {
			if err := applyRefresh(&got, data[:n]); err == nil {
				t.Fatalf("%d of %d bytes were taken", n, len(data))
			}
		}
		if err := applyRefresh(&got, append(data, 0)); err == nil {
			t.Fatal("a byte too many was taken")
		}
	}
	if n := len(appendRefresh(nil, &old)); n > 100 {
		t.Errorf("a usual refresh takes %d bytes", n)
	}
}

// What version 1 wrote is read: it leaves the set of GRUUs of the binding.
func TestRefresh_Version1IsRead(t *testing.T) {
	data, err := hex.DecodeString("01000001a3185c507b80bab70300809bee021234567890abcdef0200010304c633641b0401" +
		"1d373633626263383963663631383731372d3736336262633839636636310a7075626c69632d746c73")
	if err != nil {
		t.Fatal(err)
	}
	want := usrloctest.Binding(usrloctest.AOR(1), 1, milli(1_800_000_000_123))
	got := want
	got.CallID, got.CSeq, got.Flow, got.Updated = "", 0, flow.Flow{}, time.Time{}
	if err := applyRefresh(&got, data); err != nil {
		t.Fatal(err)
	}
	if d := usrloctest.Diff(want, got); d != "" {
		t.Errorf("after version 1 (-want +got):\n%s", d)
	}
}

// TestIsRefresh_EachField: what a refresh record does not hold must not be lost
// to one.
func TestIsRefresh_EachField(t *testing.T) {
	old := usrloctest.Binding(usrloctest.AOR(1), 1, clock())
	for name, change := range map[string]func(*usrloc.Binding){
		"ID":         func(b *usrloc.Binding) { b.ID[5]++ },
		"Contact":    func(b *usrloc.Binding) { b.Contact += "1" },
		"Params":     func(b *usrloc.Binding) { b.Params += ";a" },
		"Q":          func(b *usrloc.Binding) { b.Q = 5 },
		"Created":    func(b *usrloc.Binding) { b.Created = b.Created.Add(time.Millisecond) },
		"Path":       func(b *usrloc.Binding) { b.Path = []string{"<sip:a>"} },
		"Received":   func(b *usrloc.Binding) { b.Received = "sip:192.0.2.1" },
		"UserAgent":  func(b *usrloc.Binding) { b.UserAgent += "1" },
		"Methods":    func(b *usrloc.Binding) { b.Methods ^= usrloc.MethodRefer },
		"Instance":   func(b *usrloc.Binding) { b.Instance += "1" },
		"RegID":      func(b *usrloc.Binding) { b.RegID++ },
		"Provider":   func(b *usrloc.Binding) { b.Push.Provider = "apns" },
		"Param":      func(b *usrloc.Binding) { b.Push.Param += "1" },
		"PRID":       func(b *usrloc.Binding) { b.Push.PRID += "1" },
		"SelfWaking": func(b *usrloc.Binding) { b.Push.SelfWaking = false },
	} {
		t.Run(name, func(t *testing.T) {
			b := old
			change(&b)
			if isRefresh(&old, &b) {
				t.Error("isRefresh = true")
			}
		})
	}
}

func TestBinding_RoundTripAndTruncation(t *testing.T) {
	aor := usrloctest.AOR(7)
	want := usrloctest.Binding(aor, 1, clock())
	data := appendBinding(nil, aor, &want)
	var got usrloc.Binding
	gotAOR, err := viewBinding(&got, want.ID, data)
	if d := usrloctest.Diff(want, got); d != "" || gotAOR != aor || err != nil {
		t.Fatalf("viewBinding = %q, %v (-want +got):\n%s", gotAOR, err, d)
	}
	for n := range data {
		if _, err := viewBinding(&got, want.ID, data[:n]); err == nil {
			t.Fatalf("%d of %d bytes were taken", n, len(data))
		}
	}
	for name, id := range map[string]usrloc.BindingID{"OfOther": usrloctest.ID(aor, 2), "OtherPartition": {1}} {
		if _, err := viewBinding(&got, id, data); err == nil {
			t.Errorf("%s: a record under a wrong key was taken", name)
		}
	}
	other := usrloctest.AOR(8)
	if _, err := viewBinding(&got, want.ID, appendBinding(nil, other, &want)); err == nil {
		t.Error("a record of another AOR was taken")
	}
}

// FuzzApplyRefresh: no panic, and what is taken says the same when written again.
func FuzzApplyRefresh(f *testing.F) {
	old := usrloctest.Binding(usrloctest.AOR(1), 1, milli(1_700_000_000_000))
	f.Add(appendRefresh(nil, &old))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := old
		if applyRefresh(&b, data) != nil {
			return
		}
		again := old
		if err := applyRefresh(&again, appendRefresh(nil, &b)); err != nil {
			t.Fatal(err)
		}
		if d := usrloctest.Diff(b, again); d != "" {
			t.Fatal(d)
		}
	})
}
