//! What libmesos drivers say otherwise than HTTP clients: SUBSCRIBE has other field numbers in v0. Never a decision.

use crate::mesos::{
    FrameworkId, FrameworkInfo,
    scheduler::{Call, OfferConstraints, call},
};

/// A call as a driver sends it: like `scheduler.Call` of v1 but for SUBSCRIBE.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs)]
pub struct SchedulerCall {
    #[prost(message, optional, tag = "1")]
    pub framework_id: Option<FrameworkId>,
    #[prost(enumeration = "call::Type", optional, tag = "2")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "3")]
    pub subscribe: Option<Subscribe>,
    #[prost(message, optional, tag = "4")]
    pub accept: Option<call::Accept>,
    #[prost(message, optional, tag = "5")]
    pub decline: Option<call::Decline>,
    #[prost(message, optional, tag = "6")]
    pub kill: Option<call::Kill>,
    #[prost(message, optional, tag = "7")]
    pub shutdown: Option<call::Shutdown>,
    #[prost(message, optional, tag = "8")]
    pub acknowledge: Option<call::Acknowledge>,
    #[prost(message, optional, tag = "9")]
    pub reconcile: Option<call::Reconcile>,
    #[prost(message, optional, tag = "10")]
    pub message: Option<call::Message>,
    #[prost(message, optional, tag = "11")]
    pub request: Option<call::Request>,
    #[prost(message, optional, tag = "13")]
    pub accept_inverse_offers: Option<call::AcceptInverseOffers>,
    #[prost(message, optional, tag = "14")]
    pub decline_inverse_offers: Option<call::DeclineInverseOffers>,
    #[prost(message, optional, tag = "15")]
    pub revive: Option<call::Revive>,
    #[prost(message, optional, tag = "16")]
    pub suppress: Option<call::Suppress>,
    #[prost(message, optional, tag = "17")]
    pub acknowledge_operation_status: Option<call::AcknowledgeOperationStatus>,
    #[prost(message, optional, tag = "18")]
    pub reconcile_operations: Option<call::ReconcileOperations>,
    #[prost(message, optional, tag = "19")]
    pub update_framework: Option<call::UpdateFramework>,
}

/// SUBSCRIBE of a driver.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Subscribe {
    /// Who it is.
    #[prost(message, required, tag = "1")]
    pub framework_info: FrameworkInfo,
    /// In place of whoever has the id.
    #[prost(bool, optional, tag = "2")]
    pub force: Option<bool>,
    /// Roles that want no offers.
    #[prost(string, repeated, tag = "3")]
    pub suppressed_roles: Vec<String>,
    /// Which agents it wants to hear of.
    #[prost(message, optional, tag = "4")]
    pub offer_constraints: Option<OfferConstraints>,
}

impl SchedulerCall {
    /// As HTTP clients say it, and whether SUBSCRIBE was forced.
    pub fn into_call(self) -> (Call, bool) {
        let force = self.subscribe.as_ref().and_then(|s| s.force).unwrap_or(false);
        let subscribe = self.subscribe.map(|s| call::Subscribe {
            framework_info: s.framework_info,
            suppressed_roles: s.suppressed_roles,
            offer_constraints: s.offer_constraints,
        });
        let call = Call {
            framework_id: self.framework_id,
            r#type: self.r#type,
            subscribe,
            accept: self.accept,
            decline: self.decline,
            kill: self.kill,
            shutdown: self.shutdown,
            acknowledge: self.acknowledge,
            reconcile: self.reconcile,
            message: self.message,
            request: self.request,
            accept_inverse_offers: self.accept_inverse_offers,
            decline_inverse_offers: self.decline_inverse_offers,
            revive: self.revive,
            suppress: self.suppress,
            acknowledge_operation_status: self.acknowledge_operation_status,
            reconcile_operations: self.reconcile_operations,
            update_framework: self.update_framework,
        };
        (call, force)
    }
}
