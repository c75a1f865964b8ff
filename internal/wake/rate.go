package wake

import (
	"time"

	"reveille/push"
	"reveille/usrloc"
)

// An hourly counts the pushes of one device to refresh, in one hour.
type hourly struct {
	hour  uint32 // since 1970
	count uint32
}

// take counts a push, and reports whether it is one of the first limit of its hour.
func (h *hourly) take(limit int, now time.Time) bool {
	if hour := uint32(now.Unix() / 3600); h.hour != hour {
		*h = hourly{hour: hour}
	}
	if int(h.count) >= limit {
		return false
	}
	h.count++
	return true
}

// mayPush counts a push to refresh, unless its device had all of this hour. Other
// pushes are as many as the requests that wait.
func (w *Waker) mayPush(id usrloc.BindingID, k push.Kind) bool {
	limit := w.settings.Load().RefreshesPerHour
	if k != push.Refresh || limit <= 0 {
		return true
	}
	may, now := false, time.Now()
	w.refreshes.change(id, now, func(h *hourly) { may = h.take(limit, now) })
	return may
}
