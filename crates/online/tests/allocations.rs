//! A model that has seen a day asks for no memory.

use model::Time;
use model::definition::OnlineModel;
use online::Model;

#[global_allocator]
static METER: meter::Meter = meter::Meter;

#[test]
fn a_warm_model_allocates_nothing() {
    for model in [OnlineModel::Novelty, OnlineModel::Deviation { scales: 4.0 }] {
        let before = meter::held();
        let mut taught = Model::new(model);
        let mut allocations = 0;
        for place in 0..20_000_i64 {
            let at = Time::from_nanos(place * 60_000_000_000);
            let value = f64::from((place % 1440) as f32) + if place % 3000 == 0 { 1e6 } else { 0.0 };
            let start = meter::allocations();
            let said = taught.assess(at, at, value);
            taught.learn(at, at, value);
            if place >= 1440 {
                allocations += meter::allocations() - start;
                assert!(said.is_some());
            }
        }
        assert_eq!(allocations, 0, "{model:?}");
        let held = usize::try_from(meter::held() - before).expect("memory is held");
        assert!(held + size_of::<Model>() <= taught.held_bytes(), "{model:?}: {held} of {}", taught.held_bytes());
    }
    let before = meter::allocations();
    drop(vec![0_u8; 100]);
    assert_eq!(meter::allocations() - before, 1, "the meter counts");
}
