use std::time::Duration;

use edgepass_core::Grant;

use super::*;

type Reply = oneshot::Receiver<Result<Answer, Failed>>;

fn job(deadline: Instant) -> (Job, Reply) {
    let (reply, answer) = oneshot::channel();
    let job = Job {
        call: Arc::new(Call::Status),
        deadline,
        lost: 0,
        reply: Some(reply),
    };
    (job, answer)
}

fn has_timed_out(answer: &mut Reply) -> bool {
    match answer.try_recv() {
        Ok(Err(failed)) => {
            assert!(matches!(failed, Failed::Host(_)));
            assert_eq!(Error::from(failed).class(), ErrorClass::Timeout);
            true
        }
        Ok(Ok(_)) => panic!("nobody has answered"),
        Err(_) => false,
    }
}

#[test]
fn callers_are_told_when_their_time_is_up_and_no_earlier() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    for (deadlines, now, next) in [
        (&[][..], 5, None),
        (&[10, 20][..], 5, Some(10)),
        (&[20, 10], 10, Some(20)),
        (&[10, 20], 15, Some(20)),
        (&[10, 20, 30], 20, Some(30)),
        (&[10, 20], 20, None),
    ] {
        let in_flight = InFlight::default();
        let mut answers = Vec::new();
        for (id, deadline) in (0..).zip(deadlines) {
            let (job, answer) = job(at(*deadline));
            in_flight.insert(id, job);
            answers.push((deadline, answer));
        }
        for _ in 0..2 {
            assert_eq!(in_flight.expire(at(now)), next.map(at), "{deadlines:?}");
        }
        for (deadline, answer) in &mut answers {
            assert_eq!(
                has_timed_out(answer),
                **deadline <= now,
                "{deadlines:?} {now}"
            );
        }
        // the calls go on inside, and their answers go to nobody
        assert_eq!(in_flight.take().len(), deadlines.len());
    }
}

#[test]
fn what_is_spent_by_being_sent_is_not_made_once_more() {
    let with = |grant| Call::Token(TokenRequest::for_scopes(["s"]).with_grant(grant));
    let secret = || Secret::new("alice");
    for (call, expected) in [
        (with(Grant::ClientCredentials), true),
        (with(Grant::JwtBearer(secret())), true),
        (with(Grant::RefreshToken(secret())), false),
        (
            with(Grant::AuthorizationCode {
                code: secret(),
                redirect_uri: "https://app.example/callback".to_owned(),
                code_verifier: None,
                nonce: None,
            }),
            false,
        ),
        (Call::Status, true),
    ] {
        assert_eq!(call.is_repeatable(), expected);
        // nor is it said to be worth another try when its time is up
        let now = Instant::now();
        let (mut job, mut answer) = job(now);
        job.call = Arc::new(call);
        let in_flight = InFlight::default();
        in_flight.insert(0, job);
        in_flight.expire(now);
        let Ok(Err(error)) = answer.try_recv() else {
            panic!("its time is up");
        };
        let error = Error::from(error);
        assert_eq!(error.class(), ErrorClass::Timeout);
        assert_eq!(error.detail().retryable, expected);
    }
    let error = spent(ErrorClass::Other, "a trap".to_owned());
    assert!(!error.detail().retryable && error.detail().hint.is_some());
}

#[test]
fn a_queue_that_does_not_move_is_told_as_well_and_keeps_its_order() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let (jobs, queue) = mpsc::channel(3);
    let mut queue = Queue::new(queue);
    let mut answers = Vec::new();
    for deadline in [10, 20, 30] {
        let (job, answer) = job(at(deadline));
        assert!(jobs.try_send(job).is_ok());
        answers.push(answer);
    }
    for (now, expected, next) in [
        (5, [false; 3], Some(10)),
        (5, [false; 3], Some(10)),
        (20, [true, true, false], Some(30)),
        (25, [false; 3], Some(30)),
        (30, [false, false, true], None),
    ] {
        queue.expire(at(now));
        let told: Vec<bool> = answers.iter_mut().map(has_timed_out).collect();
        assert_eq!(told, expected, "{now}");
        let held = queue.held.as_ref().map(|job| job.deadline);
        assert_eq!(held, next.map(at), "{now}");
    }
}
