"""Loops of CloudFormation's templates, as AWS documents them."""

from infra.loops import expand


def test_a_loop_stands_for_a_resource_of_each_value() -> None:
    template = {
        "Resources": {
            "Topic": {"Type": "AWS::SNS::Topic"},
            "Fn::ForEach::Queues": [
                "Name",
                ["First", "Second"],
                {"${Name}Queue": {"Properties": {"QueueName": {"Ref": "Name"}}}},
            ],
        }
    }
    assert expand(template) == {
        "Resources": {
            "Topic": {"Type": "AWS::SNS::Topic"},
            "FirstQueue": {"Properties": {"QueueName": "First"}},
            "SecondQueue": {"Properties": {"QueueName": "Second"}},
        }
    }


def test_a_loop_in_a_loop_stands_for_every_pair() -> None:
    inner = {"Fn::ForEach::Kinds": ["Kind", ["Read", "Write"], {"${Table}${Kind}": {}}]}
    looped = {"Fn::ForEach::Tables": ["Table", ["Users", "Tracks"], inner]}
    assert list(expand(looped)) == ["UsersRead", "UsersWrite", "TracksRead", "TracksWrite"]


def test_a_key_may_leave_out_what_no_key_can_hold() -> None:
    looped = {"Fn::ForEach::Paths": ["Path", ["/users/{id}"], {"Get&{Path}": "${Path}"}]}
    assert expand(looped) == {"Getusersid": "/users/{id}"}


def test_a_name_that_is_put_together_is_referred_to_like_any_other() -> None:
    body = {
        "${Name}Alarm": [
            {"Ref": {"Fn::Sub": "${Name}Queue"}},
            {"Fn::GetAtt": [{"Fn::Sub": "${Name}Queue"}, "Arn"]},
            {"Fn::Sub": "${Name} of ${AWS::StackName}"},
        ]
    }
    assert expand({"Fn::ForEach::Queues": ["Name", ["Dead"], body]}) == {
        "DeadAlarm": [
            {"Ref": "DeadQueue"},
            {"Fn::GetAtt": ["DeadQueue", "Arn"]},
            {"Fn::Sub": "Dead of ${AWS::StackName}"},
        ]
    }
