package timeline

import (
	"container/list"
	"sync"
	"time"

	"reveille/internal/event"
)

// Bounds of what is kept of one user.
const (
	// maxOfUser bounds the Records: whoever calls one phone over and over pushes out
	// nobody else's.
	maxOfUser = 200
	// maxStrangersOf bounds those of them that strangers can cause without getting any
	// further.
	maxStrangersOf = 16
	// maxEndings bounds what is known of registrations that ended, maxEnded the users of
	// whom something is, in each of manyShards.
	maxEndings = 4
	maxEnded   = 1024
)

// An Ending is the end of a registration, or of the token of one.
type Ending struct {
	At        time.Time `json:"at" doc:"when"`
	Action    string    `json:"action" doc:"removed, expired, dormant, or token_dead: it is still registered"`
	Cause     string    `json:"cause" doc:"register (the phone did it itself), expiry, operator, dead_token, flow, other_node or token_moved"`
	Binding   string    `json:"binding" doc:"the phone's identity here"`
	Instance  string    `json:"instance,omitempty" doc:"+sip.instance"`
	UserAgent string    `json:"user_agent,omitempty" doc:"User-Agent"`
	Provider  string    `json:"provider,omitempty" doc:"pn-provider"`
	MovedTo   string    `json:"moved_to,omitempty" doc:"the user who has the push token now"`
}

// TokenDead is the Action of an Ending whose registration goes on without its token.
const TokenDead = "token_dead"

// users finds what is about one user.
type users struct {
	shards [manyShards]struct {
		mu      sync.Mutex               // guards the fields below
		records map[string]*list.List    // of *record, the oldest first
		endings map[string]*list.Element // in order
		order   list.List                // of *ended, the oldest first
	}
}

type ended struct {
	aor  string
	list []Ending
}

func newUsers() *users {
	u := &users{}
	for i := range u.shards {
		u.shards[i].records, u.shards[i].endings = make(map[string]*list.List), make(map[string]*list.Element)
	}
	return u
}

func hashOf(key string) uint32 {
	// FNV-1a: keys are names of users, of whom nobody chooses many.
	h := uint32(2166136261)
	for i := range len(key) {
		h = (h ^ uint32(key[i])) * 16777619
	}
	return h
}

// add files a Record with its user. crowded is one that has to make room, or nil.
func (u *users) add(aor string, r *record) (crowded *record) {
	if aor == "" {
		return nil
	}
	s := &u.shards[hashOf(aor)%manyShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.records[aor]
	if l == nil {
		l = list.New()
		s.records[aor] = l
	}
	place := l.Front()
	if r.quota == strangers {
		place = oldestStranger(l)
	} else if l.Len() < maxOfUser {
		place = nil
	}
	if place != nil {
		crowded = l.Remove(place).(*record)
		crowded.ofUser = nil
	}
	r.ofUser = l.PushBack(r)
	r.filed = aor
	return crowded
}

// oldestStranger is the place of the oldest Record that strangers caused, if there are
// as many as there may be; nil if one more may come.
func oldestStranger(l *list.List) (oldest *list.Element) {
	n := 0
	for e := l.Back(); e != nil; e = e.Prev() {
		if e.Value.(*record).quota == strangers {
			n++
			oldest = e
		}
	}
	switch {
	case n >= maxStrangersOf:
		return oldest
	case l.Len() >= maxOfUser:
		return l.Front()
	}
	return nil
}

func (u *users) remove(r *record) {
	if r.filed == "" {
		return
	}
	s := &u.shards[hashOf(r.filed)%manyShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.records[r.filed]
	if r.ofUser == nil {
		return // It was too many, and is being forgotten for that.
	}
	l.Remove(r.ofUser)
	r.ofUser = nil
	if l.Len() == 0 {
		delete(s.records, r.filed)
	}
}

// recordsOf returns a user's Records, the latest first.
func (u *users) recordsOf(aor string) (rs []*record) {
	s := &u.shards[hashOf(aor)%manyShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.records[aor]; l != nil {
		for e := l.Back(); e != nil; e = e.Prev() {
			rs = append(rs, e.Value.(*record))
		}
	}
	return rs
}

// registration notes the end of a registration, and forgets it when the phone is back.
func (u *users) registration(e *event.Registration, now time.Time) {
	action := e.Action
	switch {
	case action == "removed" || action == "expired" || action == "dormant":
	case action == "updated" && e.Cause == "dead_token":
		action = TokenDead
	case action == "created" || action == "updated" && e.Wakeable:
		action = ""
	default:
		return
	}
	s := &u.shards[hashOf(e.AOR)%manyShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.endings[e.AOR]
	if at == nil {
		if action == "" {
			return
		}
		if s.order.Len() >= maxEnded {
			oldest := s.order.Front()
			delete(s.endings, oldest.Value.(*ended).aor)
			s.order.Remove(oldest)
		}
		at = s.order.PushBack(&ended{aor: e.AOR})
		s.endings[e.AOR] = at
	}
	of := at.Value.(*ended)
	var list []Ending // A new one: others may read the old.
	for _, x := range of.list {
		back := x.Binding == e.Binding || sameInstance(x.Instance, e.Instance)
		if !back || action != "" && x.Action == TokenDead {
			list = append(list, x)
		}
	}
	if action != "" {
		list = append(list, Ending{
			At: now.UTC(), Action: action, Cause: e.Cause, Binding: e.Binding, Instance: event.Text(e.Instance), UserAgent: event.Text(e.UserAgent),
			Provider: event.Text(e.Provider), MovedTo: event.Text(e.MovedTo),
		})
		s.order.MoveToBack(at)
	}
	if len(list) > maxEndings {
		list = list[len(list)-maxEndings:]
	}
	of.list = list
	if len(list) == 0 {
		s.order.Remove(at)
		delete(s.endings, e.AOR)
	}
}

// Endings returns what is known of registrations of a user that ended and did not come
// back, the latest last. It is lost with the process, and bounded.
func (t *Timeline) Endings(aor string) []Ending {
	s := &t.users.shards[hashOf(aor)%manyShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.endings[aor]; at != nil {
		return at.Value.(*ended).list
	}
	return nil
}
