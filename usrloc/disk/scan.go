package disk

import (
	"bytes"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"reveille/usrloc"
)

// A scanner reads the bindings of a range of partitions in the order of their
// IDs, each with its last refresh. It copies nothing: aor and the strings of
// binding are valid until the next one is read.
type scanner struct {
	bindings, refreshes *pebble.Iterator
	started             bool

	aor       usrloc.AOR
	binding   usrloc.Binding
	refreshed bool
	err       error
}

// scan starts a scanner of the partitions from, included, to, excluded. Its
// owner closes it.
func (db *database) scan(from, to int) (*scanner, error) {
	bindings, err := db.iterate(prefixBinding, from, to)
	if err != nil {
		return nil, err
	}
	refreshes, err := db.iterate(prefixRefresh, from, to)
	if err != nil {
		return nil, closeAll(failedCloser{err}, bindings)
	}
	return &scanner{bindings: bindings, refreshes: refreshes}, nil
}

func (db *database) iterate(prefix byte, from, to int) (*pebble.Iterator, error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: partitionKey(prefix, from), UpperBound: partitionKey(prefix, to)})
	if err != nil {
		return nil, db.damage(fmt.Errorf("read partitions from %d: %w", from, err))
	}
	return it, nil
}

// next reads the next binding; false means that there is none, or an error that
// close returns.
func (s *scanner) next() bool {
	if s.err != nil {
		return false
	}
	if !s.started {
		s.started = true
		s.bindings.First()
		s.refreshes.First()
	} else {
		s.bindings.Next()
		if s.refreshed { // not before: what it said was in use
			s.refreshes.Next()
		}
		s.refreshed = false
	}
	if !s.bindings.Valid() {
		s.orphan()
		return false
	}
	s.err = s.read()
	return s.err == nil
}

// read parses the binding where the iterators stand, and its refresh.
func (s *scanner) read() error {
	id, err := parseKey(s.bindings.Key())
	if err != nil {
		return err
	}
	value, err := s.bindings.ValueAndErr()
	if err != nil {
		return fmt.Errorf("read binding %s: %w", id, err)
	}
	if s.aor, err = viewBinding(&s.binding, id, value); err != nil {
		return err
	}
	if !s.refreshes.Valid() {
		return nil // or it has failed: close says so
	}
	switch bytes.Compare(s.refreshes.Key()[1:], id[:]) {
	case -1:
		s.orphan()
		return s.err
	case +1:
		return nil
	}
	value, err = s.refreshes.ValueAndErr()
	if err != nil {
		return fmt.Errorf("read refresh of binding %s: %w", id, err)
	}
	if err := applyRefresh(&s.binding, value); err != nil {
		return err
	}
	s.refreshed = true
	return nil
}

// orphan notes that a refresh without its binding stands next, if so: a binding
// has been lost.
func (s *scanner) orphan() {
	if s.err == nil && s.bindings.Error() == nil && s.refreshes.Valid() {
		s.err = fmt.Errorf("refresh %x has no binding: %w", s.refreshes.Key()[1:], errRecord)
	}
}

// close ends the scan and returns what went wrong with it.
func (s *scanner) close() error {
	for _, it := range [...]*pebble.Iterator{s.bindings, s.refreshes} {
		// Close returns the iterator's error. It comes first: what looked
		// like a missing binding may be one that could not be read.
		if err := it.Close(); err != nil {
			s.err = err
		}
	}
	return s.err
}

// A failedCloser carries an error into closeAll.
type failedCloser struct{ err error }

func (f failedCloser) Close() error { return f.err }
