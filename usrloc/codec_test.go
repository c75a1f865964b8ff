package usrloc

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"reveille/flow"
)

func sampleBinding() Binding {
	at := fromMilli(1_800_000_000_123)
	return Binding{
		ID:          BindingID{1, 2, 3, 15: 16},
		Contact:     "sip:a@192.0.2.1;pn-provider=webpush;pn-param=BPk;Pn-Prid=https%3A%2F%2Fpush.example.net%2f1?x=y",
		Params:      `;+sip.instance="<urn:uuid:1>";reg-id=1`,
		Q:           500,
		CallID:      "call",
		CSeq:        7,
		Created:     at,
		Updated:     at.Add(time.Second),
		Expires:     at.Add(time.Hour),
		RetainUntil: at.Add(2 * time.Hour),
		Flow:        flow.Flow{Node: 3, Incarnation: 4, Listener: "main", Transport: flow.UDP, Remote: netip.MustParseAddrPort("[fe80::1%eth0]:5060"), Conn: 5},
		Path:        []string{"<sip:edge.example.com;lr>", ""},
		Received:    "sip:192.0.2.1:5060",
		UserAgent:   "Phone/1",
		Methods:     MethodInvite | MethodMessage | MethodOther,
		Instance:    "urn:uuid:1",
		RegID:       1,
		GRUUSet:     1_800_000_000_123,
		Push:        Push{Provider: "webpush", Param: "BPk", PRID: "https://push.example.net/1", SelfWaking: true},
	}
}

func TestBinding_BinaryRoundTrip(t *testing.T) {
	b := sampleBinding()
	data := AppendBinding([]byte("prefix"), &b)
	got, err := ParseBinding(data[len("prefix"):])
	if err != nil || !got.equal(&b) {
		t.Errorf("ParseBinding = %+v, %v, want %+v", got, err, b)
	}
}

// The form is on disks: it must stay readable.
func TestBinding_BinaryVersion2IsStable(t *testing.T) {
	b := sampleBinding()
	const want = "02" + // version
		"0102030000000000000000000000001" + "0" + // id
		"000001a3185c507b" + "000001a3185c5463" + "000001a318933efb" + "000001a318ca2d7b" + "ffffc77cedd32800" + // times
		"0000000000000004" + "0000000000000005" + // incarnation, conn
		"00000003" + "00000007" + "00000001" + // node, cseq, reg-id
		"01f4" + "13c4" + // q, port
		"fe800000000000000000000000000001" + "10" + "01" + "0d" + // address, its length, transport, flags
		"9001" // methods
	data := AppendBinding(nil, &b)
	if got := hex.EncodeToString(data[:1+headSize]); got != want {
		t.Errorf("head = %s, want %s", got, want)
	}
	body := string(data[1+headSize:])
	for _, stored := range []string{b.Contact, b.Params, "call", "Phone/1", "main", "eth0", b.Path[0], b.Received} {
		if strings.Count(body, stored) != 1 {
			t.Errorf("body does not hold %q once: %q", stored, body)
		}
	}
	if strings.Contains(body, b.Push.PRID) {
		t.Errorf("body holds the PRID beside the Contact: %q", body)
	}
	spans := []byte{
		17<<2 | tagSpan, 10, // instance in Params
	}
	if !bytes.Contains(data, spans) {
		t.Errorf("body %x lacks the span of instance %x", body, spans)
	}
}

// What version 1 wrote is read: it knew no methods.
func TestBinding_BinaryVersion1IsRead(t *testing.T) {
	b := sampleBinding()
	old := []byte{binaryVersion1}
	b.Methods, b.Received, b.GRUUSet = 0, "", 0
	old = append(old, AppendBinding(nil, &b)[1:1+headSize1]...)
	old = appendBody(old, &b, nil)
	got, err := ParseBinding(old)
	if err != nil || !got.equal(&b) {
		t.Errorf("ParseBinding = %+v, %v, want %+v", got, err, b)
	}
	for n := range old {
		if _, err := ParseBinding(old[:n]); !errors.Is(err, ErrBinary) {
			t.Errorf("first %d of %d bytes: error %v, want ErrBinary", n, len(old), err)
		}
	}
}

// What version 2 wrote before there were sets of GRUUs is read.
func TestBinding_BinaryWithoutGRUUSetIsRead(t *testing.T) {
	const old = "0201020300000000000000000000000010000001a3185c507b000001a3185c5463000001a318933efb000001a318ca2d7bffffc77cedd3280000000000" +
		"0000000400000000000000050000000300000007000000010" + "1f413c4fe8000000000000000000000000000011001059001fc027369703a61403139322e302e322e31" +
		"3b706e2d70726f76696465723d776562707573683b706e2d706172616d3d42506b3b506e2d507269643d6874747073253341253246253246707573682e" +
		"6578616d706c652e6e6574253266313f783d7998013b2b7369702e696e7374616e63653d223c75726e3a757569643a313e223b7265672d69643d311063" +
		"616c6c1c50686f6e652f31106d61696e1065746830460a7207b60103e7012202643c7369703a656467652e6578616d706c652e636f6d3b6c723e004873" +
		"69703a3139322e302e322e313a35303630"
	data, err := hex.DecodeString(old)
	if err != nil {
		t.Fatal(err)
	}
	want := sampleBinding()
	want.GRUUSet = 0
	if got, err := ParseBinding(data); err != nil || !got.equal(&want) {
		t.Errorf("ParseBinding = %+v, %v, want %+v", got, err, want)
	}
	if got := AppendBinding(nil, &want); !bytes.Equal(got, data) {
		t.Errorf("a binding without a set is written as\n%x, want\n%x", got, data)
	}
}

func TestBinding_BinaryTruncatedOrPadded(t *testing.T) {
	b := sampleBinding()
	data := AppendBinding(nil, &b)
	for n := range data {
		if _, err := ParseBinding(data[:n]); !errors.Is(err, ErrBinary) {
			t.Errorf("first %d of %d bytes: error %v, want ErrBinary", n, len(data), err)
		}
	}
	if _, err := ParseBinding(append(data, 0)); !errors.Is(err, ErrBinary) {
		t.Errorf("a byte too many: error %v, want ErrBinary", err)
	}
	data[0] = binaryVersion + 1
	if _, err := ParseBinding(data); !errors.Is(err, ErrBinary) {
		t.Errorf("another version: error %v, want ErrBinary", err)
	}
}

func TestAppendSpan(t *testing.T) {
	const uri = "sip:a@b;x;pn-prid=a%3Ab%;pn-param=p;ob?pn-late=1"
	for _, tc := range []struct {
		name, value, param string
		tag                byte
	}{
		{"empty", "", "pn-prid", tagLiteral},
		{"as it stands", "a%3Ab%", "pn-prid", tagSpan},
		{"escaped", "a:b%", "pn-prid", tagEscapedSpan},
		{"escaped, other case of the name", "a:b%", "PN-PRID", tagEscapedSpan},
		{"escaped, of another parameter", "a:b%", "pn-param", tagLiteral},
		{"unknown parameter", "a:b%", "pn-none", tagLiteral},
		{"elsewhere", "zzz", "pn-prid", tagLiteral},
	} {
		t.Run(tc.name, func(t *testing.T) {
			data := appendSpan(nil, tc.value, uri, tc.param)
			if got := data[0] & (1<<tagBits - 1); got != tc.tag {
				t.Errorf("tag = %d, want %d", got, tc.tag)
			}
			r := bodyReader{rest: string(data)}
			if got := r.field(uri); got != tc.value || r.bad || r.rest != "" {
				t.Errorf("field = %q (bad %v, rest %q), want %q", got, r.bad, r.rest, tc.value)
			}
		})
	}
}

func TestDictionary_HasABound(t *testing.T) {
	var d dictionary
	for i := range 2 * maxWords {
		s := strings.Repeat("x", i%100) + string(rune('a'+i%26)) + hex.EncodeToString([]byte{byte(i >> 8), byte(i)})
		n, ok := d.number(s)
		if ok != (i < maxWords) {
			t.Fatalf("word %d: taken is %v", i, ok)
		}
		if again, ok2 := d.number(s); again != n || ok2 != ok {
			t.Fatalf("word %d: number %d, then %d", i, n, again)
		}
		if got, found := d.word(uint64(n)); ok && (!found || got != s) {
			t.Fatalf("word(%d) = %q, want %q", n, got, s)
		}
	}
	if _, ok := d.number(strings.Repeat("x", maxWordLen+1)); ok {
		t.Errorf("took a long word")
	}
	if _, ok := d.word(maxWords); ok {
		t.Errorf("word beyond the last")
	}
}

// FuzzBinding_RoundTrip packs arbitrary values, with and without a dictionary.
func FuzzBinding_RoundTrip(f *testing.F) {
	f.Add("sip:a@b;pn-prid=x%3Ay", ";+sip.instance=\"<i>\"", "i", "fcm", "p", "x:y", "ua", "path", int64(5), uint64(1), []byte{192, 0, 2, 1})
	f.Add("%", "", "%%", "%4", "%41", "A", "", "\xff", int64(-1<<63), uint64(1<<63), make([]byte, 16))
	f.Fuzz(func(t *testing.T, contact, params, instance, provider, param, prid, agent, path string, ms int64, n uint64, addr []byte) {
		at := fromMilli(ms)
		b := Binding{
			Contact: contact, Params: params, Q: Q(n), CallID: path, CSeq: uint32(n), Created: at, Updated: at.Add(1),
			Expires: at, RetainUntil: at, RefreshAt: at, UserAgent: agent, Methods: Methods(n), Instance: instance, RegID: uint32(n >> 32),
			GRUUSet: n >> 8 * (n >> 1 & 1), Push: Push{Provider: provider, Param: param, PRID: prid, SelfWaking: n&1 != 0},
			Flow: flow.Flow{Node: uint32(n), Incarnation: n, Conn: ^n, Listener: agent, Transport: flow.Transport(n)},
		}
		ip, _ := netip.AddrFromSlice(addr)
		b.Flow.Remote = netip.AddrPortFrom(ip.WithZone(provider), uint16(n))
		copy(b.ID[:], addr)
		b.Received = param
		for range n % 4 {
			b.Path = append(b.Path, path)
		}
		b = stored(&b)
		got, err := ParseBinding(AppendBinding(nil, &b))
		if err != nil || !got.equal(&b) {
			t.Errorf("ParseBinding = %+v, %v, want %+v", got, err, b)
		}
		var words dictionary
		h := headOf(&b)
		for range 2 {
			var got Binding
			if err := parseBody(&got, &h, string(appendBody(nil, &b, &words)), &words); err != nil || !got.equal(&b) {
				t.Errorf("with a dictionary: %+v, %v, want %+v", got, err, b)
			}
		}
	})
}

// FuzzParseBinding: no bytes make it panic, and what it accepts it writes and
// reads again as the same.
func FuzzParseBinding(f *testing.F) {
	b := sampleBinding()
	f.Add(AppendBinding(nil, &b))
	f.Add(AppendBinding(nil, &Binding{}))
	f.Add(append([]byte{binaryVersion1}, AppendBinding(nil, &b)[1:]...))
	r := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		data := AppendBinding(nil, &b)
		data[r.IntN(len(data))] ^= 1 << r.IntN(8)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := ParseBinding(data)
		if err != nil {
			if !errors.Is(err, ErrBinary) {
				t.Errorf("error %v, want ErrBinary", err)
			}
			return
		}
		again, err := ParseBinding(AppendBinding(nil, &b))
		if err != nil || !again.equal(&b) {
			t.Errorf("read %+v, wrote it and read %+v, %v", b, again, err)
		}
	})
}
