//! CTR and CVR models that learn online
