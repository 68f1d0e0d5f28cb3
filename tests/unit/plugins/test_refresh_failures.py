"""What is kept of machines that fail while a refresh is followed, and how the failure is told."""

from datetime import UTC, datetime, timedelta

from ansible_collections.stackyard.aws.plugins.action.autoscaling_instance_refresh import merged, newest_consoles
from ansible_collections.stackyard.aws.plugins.module_utils.autoscaling import console_tail, explanation, failures_since

BEGAN = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Activities:
    """An API that tells of given activities."""

    def __init__(self, *activities):
        self._activities = [
            {"StartTime": BEGAN + timedelta(seconds=second), "Description": description, "Cause": cause, **more}
            for second, description, cause, more in activities
        ]

    def describe_scaling_activities(self, **_arguments):
        return {"Activities": self._activities}


def launch(second, machine, status="Successful", message=None):
    more = {"StatusCode": status} | ({"StatusMessage": message} if message else {})
    return second, f"Launching a new EC2 instance{': ' + machine if machine else ''}", "a difference", more


def end(second, machine, cause):
    return second, f"Terminating EC2 instance: {machine}", cause, {"StatusCode": "Successful"}


def test_launches_that_came_to_nothing_count():
    api = Activities(
        launch(30, "", "Failed", "no capacity"),
        launch(20, "i-0b", "Cancelled", "the hook was abandoned"),
        launch(-5, "i-0a", "Failed", "before"),
        launch(10, "i-0c"),
    )
    assert failures_since(api, "demo", BEGAN) == [("", "no capacity"), ("i-0b", "the hook was abandoned")]


def test_new_machines_that_a_health_check_ended_count_and_old_ones_do_not():
    why = "an instance was taken out of service in response to an ELB system health check failure"
    api = Activities(end(40, "i-0d", why), end(30, "i-0a", why), launch(10, "i-0d"), end(20, "i-0e", "a refresh"))
    assert failures_since(api, "demo", BEGAN) == [("i-0d", why)]


def test_the_first_console_of_a_machine_that_was_given_up_is_kept():
    first = {"faults": {"i-1": "was given up: x", "i-2": "is Pending"}, "consoles": {"i-1": ["boom"], "i-2": ["one"]}}
    later = {"faults": {"i-1": "was given up: x", "i-2": "is Pending"}, "consoles": {"i-1": ["end"], "i-2": ["two"]}}
    consoles, faults = newest_consoles({}, {}, first)
    consoles, faults = newest_consoles(consoles, faults, later)
    assert consoles == {"i-1": ["boom"], "i-2": ["two"]}
    # One whose console was empty at first.
    consoles, _ = newest_consoles({"i-1": []}, {"i-1": "was given up: x"}, later)
    assert consoles["i-1"] == ["end"]


def test_a_console_that_tells_why_is_taken_over_an_earlier_one():
    late = {"faults": {"i-1": "was given up: x"}, "consoles": {"i-1": ["stackyard: no database"]}}
    consoles, _ = newest_consoles({"i-1": ["booting"]}, {"i-1": "is Pending"}, late)
    assert consoles["i-1"] == ["stackyard: no database"]


class Console:
    """An API with one console."""

    def __init__(self, output):
        self._output = output

    def get_console_output(self, **_arguments):
        return {"Output": self._output}


def test_of_a_console_the_words_of_the_boot_are_shown():
    said = "stackyard: TASK one\r\nstackyard: it failed\r\n"
    ended = "[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mshutdown.target\x1b[0m.\n"
    assert console_tail(Console(f"booting\n{said}{ended}"), "i-1", 5) == ["stackyard: TASK one", "stackyard: it failed"]
    assert console_tail(Console(f"booting\n{ended}"), "i-1", 1) == ["[  OK  ] Reached target shutdown.target."]


def test_the_result_tells_of_the_whole_run():
    def machine(name, state="InService"):
        return {"instance_id": name, "lifecycle_state": state}

    first = {"changed": True, "instances_before": [machine("i-1"), machine("i-2")], "status": "Pending"}
    last = {
        "changed": False,
        "instances_before": [machine("i-2")],
        "instances_after": [machine("i-2", "Terminating:Wait"), machine("i-3")],
        "status": "Successful",
    }
    result = merged(first, last)
    assert (result["changed"], result["status"]) == (True, "Successful")
    assert result["replaced_instance_ids"] == ["i-1", "i-2"]
    assert result["instances_before"] == first["instances_before"]


def test_a_failure_names_each_machine_with_its_console():
    told = explanation(
        ["It failed."], {"i-2": "is Pending", "i-1": "was given up: no."}, {"i-1": ["a", "b"], "i-2": []}
    )
    assert told.splitlines() == [
        "It failed.",
        "Machine i-1 was given up: no.",
        "Last lines of its console:",
        "a",
        "b",
        "Machine i-2 is Pending.",
    ]
