package disk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"reveille/flow"
	"reveille/usrloc"
)

// A Lister lists Records as usrloc.Memory does; a Store is one.
type Lister interface {
	List(ctx context.Context, c usrloc.Cursor, n int) ([]usrloc.Record, usrloc.Cursor, error)
}

// line is a binding as Export writes it: one JSON object on a line. Names and
// meanings stay as they are; a field may be added.
type line struct {
	AOR         usrloc.AOR `json:"aor"`
	ID          string     `json:"id"`
	Contact     string     `json:"contact"`
	Params      string     `json:"params,omitempty"`
	Q           usrloc.Q   `json:"q"` // in thousandths, -1 for none
	CallID      string     `json:"call_id"`
	CSeq        uint32     `json:"cseq"`
	Created     time.Time  `json:"created"`
	Updated     time.Time  `json:"updated"`
	Expires     time.Time  `json:"expires"`
	RetainUntil time.Time  `json:"retain_until"`
	RefreshAt   time.Time  `json:"refresh_at,omitzero"`
	Flow        flowLine   `json:"flow"`
	Path        []string   `json:"path,omitempty"`
	Received    string     `json:"received,omitempty"`
	UserAgent   string     `json:"user_agent,omitempty"`
	Methods     []string   `json:"methods,omitempty"`
	Instance    string     `json:"instance,omitempty"`
	RegID       uint32     `json:"reg_id,omitempty"`
	GRUUSet     uint64     `json:"gruu_set,omitempty"`
	Attributes  string     `json:"attributes,omitempty"`
	Push        *pushLine  `json:"push,omitempty"`
}

type flowLine struct {
	Node        uint32         `json:"node,omitempty"`
	Incarnation uint64         `json:"incarnation,omitempty"`
	Listener    string         `json:"listener,omitempty"`
	Transport   uint8          `json:"transport"`
	Remote      netip.AddrPort `json:"remote"`
	Conn        uint64         `json:"conn,omitempty"`
}

type pushLine struct {
	Provider   string `json:"provider"`
	Param      string `json:"param,omitempty"`
	PRID       string `json:"prid,omitempty"`
	SelfWaking bool   `json:"self_waking,omitempty"`
}

// transferStep is how many Records are listed at a time.
const transferStep = 256

// Export writes all bindings as JSON lines, each AOR's one after the other and
// in their order, and returns how many. The store goes on meanwhile. The output
// holds push tokens: it is as secret as the store.
func Export(ctx context.Context, from Lister, w io.Writer) (int, error) {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	n := 0
	for c := (usrloc.Cursor{}); ; {
		recs, next, err := from.List(ctx, c, transferStep)
		if err != nil {
			return n, fmt.Errorf("export bindings: %w", err)
		}
		for i := range recs {
			for j := range recs[i].Bindings {
				if err := enc.Encode(lineOf(recs[i].AOR, &recs[i].Bindings[j])); err != nil {
					return n, fmt.Errorf("export bindings: %w", err)
				}
				n++
			}
		}
		if c = next; c.IsZero() {
			return n, out.Flush()
		}
	}
}

// Import puts the bindings that Export wrote into a store, those of an AOR in
// one Update, and returns how many. A binding that the store has already, by its
// ID, is replaced only by one that was updated later. Expired ones are left out.
// It stops at the first error; to import again does no harm.
func Import(ctx context.Context, to usrloc.Store, r io.Reader) (int, error) {
	dec := json.NewDecoder(r)
	n := 0
	var aor usrloc.AOR
	var bindings []usrloc.Binding
	put := func() error {
		if len(bindings) == 0 {
			return nil
		}
		if err := importRecord(ctx, to, aor, bindings); err != nil {
			return fmt.Errorf("import bindings of %s: %w", aor, err)
		}
		n, bindings = n+len(bindings), nil
		return nil
	}
	for number := 1; ; number++ {
		var l line
		err := dec.Decode(&l)
		if errors.Is(err, io.EOF) {
			return n, put()
		}
		if err != nil {
			return n, fmt.Errorf("import binding %d: %w", number, err)
		}
		b, err := l.binding()
		if err != nil {
			return n, fmt.Errorf("import binding %d: %w", number, err)
		}
		if l.AOR != aor {
			if err := put(); err != nil {
				return n, err
			}
			aor = l.AOR
		}
		bindings = append(bindings, b)
	}
}

// importRecord waits for its Update: Import takes its time.
func importRecord(ctx context.Context, to usrloc.Store, aor usrloc.AOR, bindings []usrloc.Binding) error {
	ended := make(chan error, 1)
	to.Update(ctx, aor, func(rec usrloc.Record) (usrloc.Record, error) {
		out := usrloc.Record{Bindings: append([]usrloc.Binding(nil), rec.Bindings...), Cause: usrloc.CauseOperator}
		for _, b := range bindings {
			if old := out.Find(b.ID); old == nil {
				out.Bindings = append(out.Bindings, b)
			} else if old.Updated.Before(b.Updated) {
				*old = b
			}
		}
		return out, nil
	}, func(_ usrloc.Record, _ []usrloc.Change, err error) { ended <- err })
	return <-ended
}

func lineOf(aor usrloc.AOR, b *usrloc.Binding) line {
	l := line{
		AOR: aor, ID: b.ID.String(), Contact: b.Contact, Params: b.Params, Q: b.Q, CallID: b.CallID, CSeq: b.CSeq,
		Created: b.Created, Updated: b.Updated, Expires: b.Expires, RetainUntil: b.RetainUntil, RefreshAt: b.RefreshAt,
		Flow: flowLine{
			Node: b.Flow.Node, Incarnation: b.Flow.Incarnation, Listener: b.Flow.Listener,
			Transport: uint8(b.Flow.Transport), Remote: b.Flow.Remote, Conn: b.Flow.Conn,
		},
		Path: b.Path, Received: b.Received, UserAgent: b.UserAgent, Methods: b.Methods.Names(), Instance: b.Instance, RegID: b.RegID, GRUUSet: b.GRUUSet, Attributes: b.Attributes,
	}
	if b.Push != (usrloc.Push{}) {
		l.Push = &pushLine{b.Push.Provider, b.Push.Param, b.Push.PRID, b.Push.SelfWaking}
	}
	return l
}

// breaks reports whether r stands in no header field of a phone: for a tab that is not
// so, nor for what is a control character beyond ASCII.
func breaks(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

func (l *line) binding() (usrloc.Binding, error) {
	id, err := usrloc.ParseBindingID(l.ID)
	if err != nil {
		return usrloc.Binding{}, err
	}
	if l.AOR == "" || l.Contact == "" {
		return usrloc.Binding{}, errors.New("no aor or no contact")
	}
	for _, s := range append([]string{string(l.AOR), l.Contact, l.Params, l.CallID, l.Received, l.UserAgent, l.Instance}, l.Path...) {
		// They go into header fields, which a line end would break.
		if strings.ContainsFunc(s, breaks) {
			return usrloc.Binding{}, fmt.Errorf("control character in %q", s)
		}
	}
	if l.Attributes != "" && json.Unmarshal([]byte(l.Attributes), new(map[string]string)) != nil {
		return usrloc.Binding{}, fmt.Errorf("attributes %q are no JSON object of strings", l.Attributes)
	}
	b := usrloc.Binding{
		ID: id, Contact: l.Contact, Params: l.Params, Q: l.Q, CallID: l.CallID, CSeq: l.CSeq,
		Created: l.Created, Updated: l.Updated, Expires: l.Expires, RetainUntil: l.RetainUntil, RefreshAt: l.RefreshAt,
		Flow: flow.Flow{
			Node: l.Flow.Node, Incarnation: l.Flow.Incarnation, Listener: l.Flow.Listener,
			Transport: flow.Transport(l.Flow.Transport), Remote: l.Flow.Remote, Conn: l.Flow.Conn,
		},
		Path: l.Path, Received: l.Received, UserAgent: l.UserAgent, Methods: usrloc.MethodsNamed(l.Methods), Instance: l.Instance, RegID: l.RegID, GRUUSet: l.GRUUSet, Attributes: l.Attributes,
	}
	if l.Push != nil {
		b.Push = usrloc.Push{Provider: l.Push.Provider, Param: l.Push.Param, PRID: l.Push.PRID, SelfWaking: l.Push.SelfWaking}
	}
	return b, nil
}
