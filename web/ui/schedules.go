package ui

import "github.com/qarion/qarion/engine"

// schedulesPage are the schedules of all flows.
type schedulesPage struct {
	Schedules           []engine.ScheduleInfo
	More                bool // there are others than those that are shown
	MayPause, MayResume bool
}

func (s *Site) schedules(v *Visit) (*reply, error) {
	var out struct {
		Schedules []engine.ScheduleInfo `json:"schedules"`
		More      bool                  `json:"more"`
	}
	if err := v.ask("schedule.list", nil, &out); err != nil {
		return nil, err
	}
	return &reply{page: &page{name: "schedules", Title: "Schedules", Nav: "/schedules", Live: true, Data: schedulesPage{
		out.Schedules, out.More, v.may("schedule.pause"), v.may("schedule.resume"),
	}}}, nil
}

func (s *Site) pauseSchedule(v *Visit) (*reply, error) { return restSchedule(v, "schedule.pause") }

func (s *Site) resumeSchedule(v *Visit) (*reply, error) { return restSchedule(v, "schedule.resume") }

func restSchedule(v *Visit, endpoint string) (*reply, error) {
	if err := v.ask(endpoint, fields("flow", v.PostForm.Get("flow"), "trigger", v.PostForm.Get("trigger")), nil); err != nil {
		return nil, err
	}
	return &reply{goOn: "/schedules"}, nil
}
